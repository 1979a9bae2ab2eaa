"""How a report is shown: one file per output format, each with `render(report, options) -> str`."""

from __future__ import annotations

from importlib import import_module

from normfix.findings import Report
from normfix.records import dataclass

LINT_FORMATS = ("full", "concise", "json", "sarif", "github", "gitlab", "junit")


@dataclass(frozen=True, slots=True)
class Options:
    """What a report shows besides its findings."""

    show_undecided: bool = False
    statistics: bool = False
    color: bool = False
    fixes: bool = False
    """Say which options of `lint` would mend how many findings."""


def render(report: Report, output_format: str, options: Options | None = None) -> str:
    """The report in one of LINT_FORMATS."""
    text: str = import_module(f"normfix.reports.{output_format}").render(report, options or Options())
    return text
