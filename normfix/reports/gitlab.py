"""GitLab's Code Quality report, a subset of Code Climate's."""

from __future__ import annotations

import json
from collections import Counter
from hashlib import sha256

from normfix.findings import Finding, Report, Severity
from normfix.reports import Options
from normfix.reports.concise import place

_SEVERITIES = {Severity.ERROR: "critical", Severity.WARNING: "major", Severity.INFO: "info"}


def render(report: Report, options: Options) -> str:
    """A list of issues. Fingerprints leave out lines, so that an issue keeps its own when code above it moves."""
    seen: Counter[tuple[str, ...]] = Counter()
    issues = []
    for finding in report.findings:
        identity = (finding.code, finding.path, finding.module or "", finding.message)
        seen[identity] += 1
        issues.append(_issue(finding, "\0".join([*identity, str(seen[identity])])))
    return json.dumps(issues, indent=2) + "\n"


def _issue(finding: Finding, identity: str) -> dict[str, object]:
    line, end = (1, 1) if finding.cell is not None else (finding.line or 1, finding.end_line or finding.line or 1)
    where = f"{place(finding)}: " if finding.cell is not None or finding.line is None else ""
    return {
        "type": "issue",
        "check_name": finding.code,
        "description": f"{finding.code} {where}{finding.message}",
        "categories": ["Bug Risk"],
        "severity": _SEVERITIES[finding.severity],
        "fingerprint": sha256(identity.encode(errors="surrogatepass")).hexdigest(),
        "location": {"path": finding.path, "lines": {"begin": line, "end": end}},
    }
