"""The options of `normfix lint` that change files, and its end when one of them is given."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from normfix.commands import options
from normfix.findings import Report

Lint = Callable[[str, str], Report]


def add_fixes(parser: argparse.ArgumentParser) -> None:
    """`--fix`, `--unsafe-fixes`, `--diff`, `--fix-only`."""
    group = parser.add_argument_group("fixes")
    for name, purpose in (
        ("fix", "make the fixes that keep what the code does"),
        ("unsafe-fixes", "make those too that may change what it does"),
        ("diff", "write nothing, show the changes; exit code 1 when there would be some"),
        ("fix-only", "make the fixes without reporting what is left"),
    ):
        group.add_argument(f"--{name}", action="store_true", help=purpose)


def wanted(arguments: argparse.Namespace) -> bool:
    """Is one of these options given."""
    return bool(arguments.fix or arguments.unsafe_fixes or arguments.diff or arguments.fix_only)


def finish(report: Report, arguments: argparse.Namespace, lint: Lint) -> int:
    """Fix the files of the run, or show how; print the summary on stderr and what is left on stdout."""
    from normfix import fixes

    outcome = fixes.apply(report, lint, unsafe=arguments.unsafe_fixes, write=not arguments.diff)
    sys.stdout.write(outcome.diff() if arguments.diff else "")
    if arguments.diff or arguments.fix_only:
        for failure in outcome.report.errors:
            sys.stderr.write(f"error: {failure.path}: {failure.reason}\n")
        code = 2 if outcome.report.errors else int(arguments.diff and outcome.changed)
    else:
        code = options.finish(outcome.report, arguments)
    sys.stderr.write("".join(f"{line}\n" for line in outcome.summary()))
    return code
