"""How a source file uses networks: what checks read off a `Script`."""
