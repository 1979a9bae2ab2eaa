"""SARIF 2.1.0, which code hosts and editors read."""

from __future__ import annotations

import json
import os
from urllib.parse import quote

from normfix import __version__
from normfix.engine import Rule, rules
from normfix.findings import Failure, Finding, Report, Severity
from normfix.graph import Origin, Site
from normfix.reports import Options

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def render(report: Report, options: Options) -> str:
    """One run with the rules that were met, a result for each finding, and what could not be read."""
    met = [rules()[code] for code in sorted({finding.code for finding in report.findings})]
    index = {rule.code: number for number, rule in enumerate(met)}
    driver = {
        "name": "normfix",
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [_rule(rule) for rule in met],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": not report.errors,
                "toolExecutionNotifications": [_notification(failure) for failure in report.errors],
            }
        ],
        "results": [_result(finding, index) for finding in report.findings],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.code,
        "name": rule.slug,
        "shortDescription": {"text": rule.slug.replace("-", " ")},
        "defaultConfiguration": {"level": _LEVELS[rule.severity], "enabled": rule.enabled},
        "help": {"text": f"Run `normfix rule {rule.code}`."},
    }


def _result(finding: Finding, index: dict[str, int]) -> dict[str, object]:
    text = finding.message + (f". {finding.help}" if finding.help else "")
    result: dict[str, object] = {
        "ruleId": finding.code,
        "ruleIndex": index[finding.code],
        "level": _LEVELS[finding.severity],
        "message": {"text": text},
        "locations": [_location(finding.path, _region(finding), finding.module, finding.cell)],
    }
    if finding.related:
        result["relatedLocations"] = [_related(number, *one) for number, one in enumerate(finding.related, 1)]
    return result


def _related(number: int, note: str, site: Site) -> dict[str, object]:
    origin = site.origin
    region = _span(origin) if origin else None
    cell = origin.cell if origin else None
    place = _location(origin.path if origin else "", region, site.module, cell)
    return {"id": number, **place, "message": {"text": note}}


def _location(path: str, region: dict[str, object] | None, module: str | None, cell: int | None) -> dict[str, object]:
    place: dict[str, object] = {}
    if path:
        place["physicalLocation"] = {"artifactLocation": {"uri": _uri(path)}}
        # Lines within a cell are not lines of the notebook's file.
        if region and cell is None:
            place["physicalLocation"]["region"] = region  # type: ignore[index]
    names = [("module", module)] if module else []
    if cell is not None:
        names.append(("member", f"cell {cell}, line {region['startLine'] if region else 1}"))
    if names:
        place["logicalLocations"] = [{"fullyQualifiedName": name, "kind": kind} for kind, name in names]
    return place


def _region(finding: Finding) -> dict[str, object] | None:
    if finding.line is None:
        return None
    column, end_line = finding.column or 1, finding.end_line or finding.line
    return _span(Origin(finding.path, finding.line, column, end_line, finding.end_column or column + 1))


def _span(origin: Origin) -> dict[str, object]:
    return {
        "startLine": origin.line,
        "startColumn": origin.column,
        "endLine": origin.end_line,
        "endColumn": origin.end_column,
    }


def _uri(path: str) -> str:
    """A URI reference: relative paths stay relative. A name that is not UTF-8 keeps its bytes."""
    text = quote(path.replace(os.sep, "/"), errors="surrogateescape")
    return f"file://{text}" if text.startswith("/") else text


def _notification(failure: Failure) -> dict[str, object]:
    text = f"{failure.path}: {failure.reason}" if failure.path else failure.reason
    return {"level": "error", "message": {"text": text}}
