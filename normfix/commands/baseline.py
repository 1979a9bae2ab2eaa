"""`normfix baseline write`: record today's findings, so that `normfix lint --baseline` tells of new ones only."""

from __future__ import annotations

import argparse
import sys

from normfix.commands import options

DEFAULT = "normfix-baseline.json"


def add_parser(subparsers: options.Subparsers) -> None:
    parser = subparsers.add_parser("baseline", description="Record today's findings, to be told of new ones only.")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    write = actions.add_parser("write", help="lint, and record what is found")
    write.add_argument("paths", nargs="*", metavar="PATH", help="files and directories (default: this directory)")
    write.add_argument("-o", "--output", metavar="FILE", help=f"the baseline (default: as configured, or {DEFAULT})")
    options.add_selection(write)
    options.add_cache(write)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from normfix.linting.baseline import Baseline
    from normfix.linting.run import baseline_of, lint
    from normfix.reports.concise import printable

    report = lint(
        arguments.paths or ["."],
        select=arguments.select,
        extend_select=arguments.extend_select or (),
        ignore=arguments.ignore or (),
        config=arguments.config,
        baseline="",
        cache=not arguments.no_cache,
        undecided=False,
    )
    for failure in report.errors:
        sys.stderr.write(f"error: {printable(f'{failure.path}: {failure.reason}')}\n")
    if report.errors:
        return 2
    baseline = Baseline.of(arguments.output or baseline_of(arguments.config) or DEFAULT, report)
    baseline.write()
    total = baseline.entries.total()
    sys.stderr.write(f"{baseline.file}: {total} finding{'s' * (total != 1)} recorded\n")
    return 0
