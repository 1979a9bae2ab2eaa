"""One file per rule; the engine finds them by walking this folder."""
