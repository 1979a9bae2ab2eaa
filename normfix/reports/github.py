"""Workflow commands of GitHub Actions: each finding becomes an annotation of the change."""

from __future__ import annotations

from normfix.findings import Finding, Report, Severity
from normfix.reports import Options
from normfix.reports.concise import place

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render(report: Report, options: Options) -> str:
    """One line per finding, and per file that could not be read."""
    lines = [_line(finding) for finding in report.findings]
    lines += [f"::error title=normfix::{_text(f'{one.path}: {one.reason}')}" for one in report.errors]
    return "".join(f"{line}\n" for line in lines)


def _line(finding: Finding) -> str:
    properties = {"title": f"normfix ({finding.code})", "file": finding.path}
    if finding.line is not None and finding.cell is None:
        properties |= {"line": str(finding.line), "col": str(finding.column or 1)}
        # A column without its line would be taken for one of the first line.
        if finding.end_line is not None and finding.end_column is not None:
            properties["endLine"] = str(finding.end_line)
            if finding.end_line == finding.line:
                properties["endColumn"] = str(finding.end_column)
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
    text = f"{place(finding)}: {finding.code} {finding.message}"
    return f"::{_LEVELS[finding.severity]} {listed}::{_text(text)}"


def _text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _text(text).replace(":", "%3A").replace(",", "%2C")
