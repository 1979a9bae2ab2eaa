"""A lint run: which files, which rules, in which process, and what was known before."""
