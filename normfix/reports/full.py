"""Findings with the code they are about, in the manner of rustc and ruff."""

from __future__ import annotations

from collections.abc import Sequence

from normfix.findings import Finding, Report
from normfix.graph import Origin
from normfix.reports import Options
from normfix.reports.code import Code
from normfix.reports.colors import BLUE, CYAN, SEVERITIES, Painter
from normfix.reports.concise import epilogue, place, printable, title, where

_CONTEXT = 2
_WIDTH = 120


def render(report: Report, options: Options) -> str:
    """Each finding with its frame, its help and its related places; then what `concise` ends with."""
    paint = Painter(options.color)
    code = Code(report.sources)
    return "".join(_finding(one, code, paint) + "\n" for one in report.findings) + epilogue(report, options)


def _finding(finding: Finding, code: Code, paint: Painter) -> str:
    origin = _origin(finding)
    lines = code.lines(finding.path, finding.cell) if origin else ()
    last = min(origin.line + _CONTEXT, len(lines)) if origin else 0
    margin = len(str(last)) if lines else 1
    parts = [title(finding, paint), f"{' ' * margin}{paint('-->', BLUE)} {place(finding)}"]
    if origin and origin.line <= len(lines):
        parts += _frame(lines, origin, margin, last, paint, SEVERITIES[finding.severity])
    edge = " " * margin + " " + paint("=", BLUE)
    if finding.help:
        parts.append(f"{edge} {paint('help', CYAN)}: {printable(finding.help)}")
    parts += [f"{edge} {paint('note', CYAN)}: {printable(note)} ({where(site)})" for note, site in finding.related]
    return "".join(f"{part}\n" for part in parts)


def _origin(finding: Finding) -> Origin | None:
    if finding.line is None:
        return None
    column = finding.column or 1
    end_line = finding.end_line or finding.line
    return Origin(finding.path, finding.line, column, end_line, finding.end_column or column + 1, finding.cell)


def _frame(lines: Sequence[str], origin: Origin, margin: int, last: int, paint: Painter, color: str) -> list[str]:
    """The line of the finding between its neighbours, with its span underlined."""
    bar = paint("|", BLUE)
    rows = [f"{' ' * margin} {bar}"]
    for number in range(max(origin.line - _CONTEXT, 1), last + 1):
        text = lines[number - 1]
        end = origin.end_column if origin.end_line == origin.line else len(text) + 1
        shift = max(min(origin.column - 20, end - _WIDTH), 0) if len(text) > _WIDTH else 0
        shown = _shown(text[shift : shift + _WIDTH])
        rows.append(f"{paint(str(number).rjust(margin), BLUE)} {bar} {shown}".rstrip())
        if number == origin.line:
            start = _columns(text[shift : origin.column - 1])
            length = max(_columns(text[max(origin.column - 1, shift) : min(end - 1, shift + _WIDTH)]), 1)
            rows.append(f"{' ' * margin} {bar} {' ' * start}{paint('^' * length, color)}")
    return [*rows, f"{' ' * margin} {bar}"]


def _shown(text: str) -> str:
    return printable(text.replace("\t", "    "))


def _columns(text: str) -> int:
    """The columns that a text takes on a terminal."""
    shown = _shown(text)
    if shown.isascii():
        return len(shown)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in shown)
