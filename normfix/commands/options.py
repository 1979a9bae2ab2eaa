"""Options that several commands share, and the end that `lint` and `check` have in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from normfix.findings import Report, Severity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from normfix.graph import LayerGraph

    Subparsers = argparse._SubParsersAction[Any]
    """What `ArgumentParser.add_subparsers` gives."""

REWRITE_FORMATS = ("full", "json")


def codes(text: str) -> list[str]:
    """The items of a list that is separated by commas, without blanks."""
    return [code for code in text.replace(",", " ").split() if code]


def chosen(text: str) -> list[str]:
    """The items of `--select`; none at all is a mistake, since no rule would run."""
    if not codes(text):
        raise argparse.ArgumentTypeError(f"expected codes or slugs of rules, got `{text}`")
    return codes(text)


def add_format(parser: argparse.ArgumentParser, formats: Sequence[str] = REWRITE_FORMATS) -> None:
    """`--output-format`, whose default is the first of `formats`."""
    parser.add_argument(
        "--output-format", choices=formats, default=formats[0], help="how to print the result (default: %(default)s)"
    )


def add_selection(parser: argparse.ArgumentParser) -> None:
    """`--select`, `--extend-select`, `--ignore`, `--config`: which rules run. None where nothing was said."""
    group = parser.add_argument_group("rules")
    for name, items, purpose in (
        ("select", chosen, "run only these rules: codes, prefixes of codes, or slugs, separated by commas"),
        ("extend-select", codes, "run these rules too"),
        ("ignore", codes, "do not run these rules"),
    ):
        group.add_argument(f"--{name}", type=items, action="extend", metavar="RULES", help=purpose)
    group.add_argument("--config", metavar="FILE", help="a TOML file to read in place of the nearest pyproject.toml")


def add_verdict(parser: argparse.ArgumentParser) -> None:
    """`--fail-on`, `--exit-zero`, `--show-undecided`, `--statistics`: what counts, and what is shown besides."""
    group = parser.add_argument_group("result")
    names = [str(severity) for severity in Severity]
    group.add_argument("--fail-on", choices=names, help="least severity that makes the exit code 1 (default: warning)")
    group.add_argument("--exit-zero", action="store_true", help="exit with 0 although there are findings")
    group.add_argument("--show-undecided", action="store_true", help="print what was not decided, and why")
    group.add_argument("--statistics", action="store_true", help="print how often each rule was met")


def add_html(parser: argparse.ArgumentParser) -> None:
    """`--html FILE`."""
    parser.add_argument(
        "--html", metavar="FILE", help="write a page for the browser too: one file, nothing else needed"
    )


def add_cache(parser: argparse.ArgumentParser) -> None:
    """`--no-cache`."""
    parser.add_argument("--no-cache", action="store_true", help="neither read nor write the cache")


def tells_undecided(arguments: argparse.Namespace) -> bool:
    """Will the report show more than findings: what was not decided, or how many norms there are."""
    return bool(arguments.show_undecided or arguments.statistics or arguments.html or arguments.output_format == "json")


def exit_code(report: Report, arguments: argparse.Namespace) -> int:
    """0, 1 for findings at or above `--fail-on`, 2 where something could not be read."""
    if report.errors:
        return 2
    least = Severity[(arguments.fail_on or "warning").upper()]
    failed = any(finding.severity >= least for finding in report.findings)
    return int(failed and not arguments.exit_zero)


def finish(
    report: Report, arguments: argparse.Namespace, graph: LayerGraph | None = None, *, fixes: bool = False
) -> int:
    """Print the report as the options ask for, write its page with the network, and return the exit code.

    `fixes` says what `--fix` and `--unsafe-fixes` would mend.
    """
    from normfix.reports import Options, colors, render
    from normfix.reports.concise import printable

    shown = Options(arguments.show_undecided, arguments.statistics, colors.wanted(sys.stdout), fixes)
    sys.stdout.write(render(report, arguments.output_format, shown))
    for note in report.notes:
        sys.stderr.write(f"note: {printable(note)}\n")
    said = {(finding.path, finding.message) for finding in report.findings}
    for failure in report.errors:
        if (failure.path, failure.reason) not in said:
            sys.stderr.write(f"error: {printable(f'{failure.path}: {failure.reason}')}\n")
    if getattr(arguments, "html", None):
        from normfix.commands import pages

        pages.reported(arguments, report, graph)
    return exit_code(report, arguments)
