"""Findings as the page shows them: where, what, the lines of code around it, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from normfix.findings import Finding, Report, Severity
from normfix.reports.code import Code
from normfix.reports.concise import place, printable, where

_CONTEXT = 2
_FRAMES = 500
"""Findings that are shown with their code: thousands of them would make the page slow."""
_WIDTH = 400
"""Characters of a line that are shown: generated code has lines of megabytes."""


@dataclass(frozen=True, slots=True)
class CodeLine:
    """One line of a frame; `marked` is the span that the finding is about."""

    number: int
    before: str
    marked: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """One finding."""

    code: str
    slug: str
    severity: str
    message: str
    place: str
    module: str
    help: str
    related: Sequence[tuple[str, str]]
    frame: Sequence[CodeLine]

    @property
    def words(self) -> str:
        """What the filter looks through."""
        return f"{self.code} {self.slug} {self.message} {self.place} {self.module}".lower()


def shown(report: Report) -> list[Shown]:
    """Every finding, the worst first; within one severity as the report has them."""
    code = Code(report.sources)
    ordered = sorted(report.findings, key=lambda finding: -finding.severity)
    return [_shown(finding, code if number < _FRAMES else None) for number, finding in enumerate(ordered)]


def counts(report: Report) -> dict[str, int]:
    """How many findings there are of each severity, the worst first."""
    return {
        str(severity): sum(finding.severity == severity for finding in report.findings)
        for severity in reversed(Severity)
    }


def _shown(finding: Finding, code: Code | None) -> Shown:
    lines = code.lines(finding.path, finding.cell) if finding.line and code else ()
    return Shown(
        finding.code,
        finding.slug,
        str(finding.severity),
        printable(finding.message),
        place(finding),
        printable(finding.module or ""),
        printable(finding.help),
        [(printable(note), where(site)) for note, site in finding.related],
        _frame(finding, lines),
    )


def _frame(finding: Finding, lines: Sequence[str]) -> list[CodeLine]:
    """The line of the finding between its neighbours; empty where the code is not at hand."""
    line = finding.line or 0
    if not 1 <= line <= len(lines):
        return []
    numbers = range(max(line - _CONTEXT, 1), min(line + _CONTEXT, len(lines)) + 1)
    return [_marked(finding, lines[line - 1]) if one == line else _plain(one, lines[one - 1]) for one in numbers]


def _plain(number: int, text: str) -> CodeLine:
    return CodeLine(number, printable(text[:_WIDTH].expandtabs(4)))


def _marked(finding: Finding, text: str) -> CodeLine:
    """The line cut at the ends of the finding; to the end of the line where the finding goes on below."""
    start = max((finding.column or 1) - 1, 0)
    end = finding.end_column - 1 if finding.end_column and finding.end_line == finding.line else len(text)
    shift = start - _WIDTH // 4 if start > _WIDTH else 0
    parts = (text[shift:start], text[start : max(end, start + 1)][:_WIDTH], text[max(end, start + 1) :][:_WIDTH])
    return CodeLine(finding.line or 0, *(printable(part.replace("\t", "    ")) for part in parts))
