"""`normfix` and `python -m normfix`: one command, in a process of its own."""

import gc
import sys


def run() -> int:
    """The exit code. A short run should not look for garbage, while it starts or when the process ends: 5 of 53 ms."""
    if sys.argv[1:2] == ["lint"]:
        gc.disable()
    from normfix.cli import main

    code = main()
    gc.freeze()
    return code


if __name__ == "__main__":
    sys.exit(run())
