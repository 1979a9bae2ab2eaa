"""`normfix` and `python -m normfix`: one command, in a process of its own."""

import atexit
import gc
import os
import sys

WATCHING = frozenset({"cProfile", "coverage", "profile", "trace"})
"""What looks at a whole run, and tells of it when Python ends."""


def run() -> int:
    """The exit code. A short run should not look for garbage, while it starts or when the process ends: 5 of 53 ms."""
    short = sys.argv[1:2] == ["lint"]
    if short:
        gc.disable()
    from normfix.cli import main

    code = main()
    gc.freeze()
    if short and code in (0, 1) and WATCHING.isdisjoint(sys.modules):
        leave(code)
    return code


def leave(code: int) -> None:
    """End the process as Python does, but do not take its memory apart, object by object: 4 of 56 ms."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(run())
