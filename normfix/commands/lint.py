"""`normfix lint`: find misused norms in source files and notebooks."""

from __future__ import annotations

import argparse

from normfix.commands import fixing, options
from normfix.errors import UsageError
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
    group.add_argument(
        "--stdin-filename", default="<stdin>", metavar="PATH", help="what `-`, standard input, is called"
    )
    group.add_argument("--baseline", metavar="FILE", help="leave out what this file of `normfix baseline write` holds")
    group.add_argument("--force-exclude", action="store_true", help="leave them out even where a PATH names them")
    fixing.add_fixes(parser)
    options.add_verdict(parser)
    options.add_html(parser)
    options.add_cache(parser)
    parser.add_argument("--jobs", type=int, metavar="N", help="processes to run (default: the number of processors)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from normfix.linting.planning import settings_source
    from normfix.linting.run import lint

    settings = settings_source(arguments.config)("pyproject.toml")
    arguments.fail_on = arguments.fail_on or settings.fail_on
    report = (
        _from_stdin(arguments)
        if "-" in arguments.paths
        else lint(
            arguments.paths or ["."],
            select=arguments.select,
            extend_select=arguments.extend_select or (),
            ignore=arguments.ignore or (),
            config=arguments.config,
            exclude=arguments.exclude or (),
            force_exclude=arguments.force_exclude,
            baseline=arguments.baseline,
            jobs=arguments.jobs,
            cache=not arguments.no_cache,
            undecided=options.tells_undecided(arguments),
        )
    )
    if fixing.wanted(arguments):
        return fixing.finish(report, arguments, lambda text, path: _again(text, path, arguments))
    return options.finish(report, arguments, fixes=True)


def _from_stdin(arguments: argparse.Namespace) -> Report:
    """The report of the text on standard input, under the name it is given."""
    import sys

    from normfix.linting.run import judge
    from normfix.sources import decode

    if len(arguments.paths) > 1:
        raise UsageError("cannot lint standard input (`-`) and files in one run")
    path = arguments.stdin_filename
    if arguments.force_exclude and not _is_wanted(path, arguments):
        return Report()
    try:
        if sys.stdin is None:
            raise UsageError("cannot read standard input: it is closed")
        text = decode(sys.stdin.buffer.read(), path)
    except OSError as error:
        raise UsageError(f"cannot read standard input: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"cannot decode standard input: {error}") from error
    return judge(_again(text, path, arguments), 1)


def _is_wanted(path: str, arguments: argparse.Namespace) -> bool:
    from normfix.linting.discovery import left_out
    from normfix.linting.planning import settings_source
    from normfix.patterns import under

    return not left_out(path, arguments.exclude or (), settings_source(arguments.config)(path), under)


def _again(text: str, path: str, arguments: argparse.Namespace) -> Report:
    """The report of a text in the course of being fixed, by the settings of the run."""
    from normfix.linting.run import baseline_of, lint_source

    report = lint_source(
        text,
        path,
        select=arguments.select,
        extend_select=arguments.extend_select or (),
        ignore=arguments.ignore or (),
        config=arguments.config,
    )
    known = baseline_of(arguments.config) if arguments.baseline is None else arguments.baseline
    if known:
        from normfix.linting.baseline import Baseline

        Baseline.read(known).apply(report)
    return report
