"""JSON: one object with `findings`, `undecided` and `errors`."""

from __future__ import annotations

import json
from dataclasses import asdict

from normfix.findings import Report
from normfix.reports import Options


def render(report: Report, options: Options) -> str:
    """Everything the report holds, whatever the options."""
    plain = {
        "findings": [finding.as_dict() for finding in report.findings],
        "undecided": [asdict(abstention) for abstention in report.undecided],
        "errors": [asdict(failure) for failure in report.errors],
    }
    return json.dumps(plain, indent=2, default=str) + "\n"
