"""`normfix lint`: find misused norms in source files and notebooks."""

from __future__ import annotations

import argparse

from normfix.commands import options
from normfix.reports import LINT_FORMATS


def add_parser(subparsers: options.Subparsers) -> None:
    parser = subparsers.add_parser("lint", description="Find misused norms in source files and notebooks.")
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files and directories (default: this directory)")
    options.add_format(parser, LINT_FORMATS)
    options.add_selection(parser)
    options.add_verdict(parser)
    options.add_cache(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from normfix.linting import lint

    report = lint(
        arguments.paths or ["."],
        select=arguments.select,
        extend_select=arguments.extend_select or (),
        ignore=arguments.ignore or (),
    )
    return options.finish(report, arguments)
