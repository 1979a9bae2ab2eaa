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
    """Fix the files of the run, or show how; print the summary on stderr and what is left on stdout.

    A text from standard input goes to standard output, fixed, and what is left of its findings to stderr.
    """
    from normfix import fixes
    from normfix.reports.concise import printable

    if report.sources:
        return _finish_text(report, arguments, lint)
    outcome = fixes.apply(report, lint, unsafe=arguments.unsafe_fixes, write=not arguments.diff)
    sys.stdout.write(outcome.diff() if arguments.diff else "")
    if arguments.diff or arguments.fix_only:
        for failure in outcome.report.errors:
            sys.stderr.write(f"error: {printable(f'{failure.path}: {failure.reason}')}\n")
        code = 2 if outcome.report.errors else int(arguments.diff and outcome.changed)
    else:
        code = options.finish(outcome.report, arguments)
    sys.stderr.write("".join(f"{printable(line)}\n" for line in outcome.summary()))
    return code


def _finish_text(report: Report, arguments: argparse.Namespace, lint: Lint) -> int:
    from normfix import fixes
    from normfix.fixes.edits import unified
    from normfix.reports import Options, render

    [(path, text)] = report.sources.items()
    try:
        done = fixes.fix_text(text, path, lint, unsafe=arguments.unsafe_fixes)
    except (fixes.Refused, fixes.Broken) as error:
        sys.stdout.write("" if arguments.diff else text)
        sys.stderr.write(f"error: {path}: not fixed: {error.reason}\n")
        return 2
    if arguments.diff:
        sys.stdout.write(unified(text, done.text, path))
        return int(bool(done.applied))
    sys.stdout.write(done.text)
    if arguments.fix_only:
        return 0
    sys.stderr.write(render(done.report, arguments.output_format, Options(False, False, False)))
    return options.exit_code(done.report, arguments)
