"""One file per command: its arguments and how it runs."""
