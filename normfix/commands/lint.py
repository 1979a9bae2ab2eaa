"""`normfix lint`: find misused norms in source files and notebooks."""

from __future__ import annotations

import argparse

from normfix.commands import fixing, options
from normfix.findings import Report
from normfix.reports import LINT_FORMATS


def add_parser(subparsers: options.Subparsers) -> None:
    parser = subparsers.add_parser("lint", description="Find misused norms in source files and notebooks.")
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files and directories (default: this directory)")
    options.add_format(parser, LINT_FORMATS)
    options.add_selection(parser)
    group = parser.add_argument_group("files")
    group.add_argument(
        "--exclude", type=options.codes, action="extend", metavar="PATTERNS", help="leave out these files and folders"
    )
    group.add_argument("--force-exclude", action="store_true", help="leave them out even where a PATH names them")
    fixing.add_fixes(parser)
    options.add_verdict(parser)
    options.add_cache(parser)
    parser.add_argument("--jobs", type=int, metavar="N", help="processes to run (default: the number of processors)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from normfix.linting import lint
    from normfix.planning import settings_source

    settings = settings_source(arguments.config)("pyproject.toml")
    arguments.fail_on = arguments.fail_on or settings.fail_on
    report = lint(
        arguments.paths or ["."],
        select=arguments.select,
        extend_select=arguments.extend_select or (),
        ignore=arguments.ignore or (),
        config=arguments.config,
        exclude=arguments.exclude or (),
        force_exclude=arguments.force_exclude,
        jobs=arguments.jobs,
        cache=not arguments.no_cache,
    )
    if fixing.wanted(arguments):
        return fixing.finish(report, arguments, lambda text, path: _again(text, path, arguments))
    return options.finish(report, arguments)


def _again(text: str, path: str, arguments: argparse.Namespace) -> Report:
    """The report of a text in the course of being fixed, by the settings of the run."""
    from normfix.linting import lint_source

    return lint_source(
        text,
        path,
        select=arguments.select,
        extend_select=arguments.extend_select or (),
        ignore=arguments.ignore or (),
        config=arguments.config,
    )
