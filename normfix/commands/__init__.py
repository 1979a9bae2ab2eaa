"""One file per command: `add_parser(subparsers)` declares its arguments, `run(arguments)` returns the exit code.

Options that several commands share are in `options.py`. Bad input raises `normfix.errors.UsageError`.
"""
