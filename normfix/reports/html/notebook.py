"""What notebooks show of a report, a rewrite or a proof: small fragments that need nothing around them.

Each gives None where jinja2 is missing, so that the notebook falls back to plain text.
"""

from __future__ import annotations

from typing import Any

from normfix.findings import Report
from normfix.reports.html import findings, proofs
from normfix.reports.html.environment import fill, is_available, static, trusted
from normfix.rewrites import Proof, Rewrite

_MOST = 100
"""Rows that a cell of a notebook shows; the rest is counted."""


def report(shown: Report) -> str | None:
    """The findings with their code, the worst first, and what could not be decided."""
    return _fragment("report", report=shown, findings=findings.shown(shown), counts=findings.counts(shown), most=_MOST)


def rewrite(shown: Rewrite) -> str | None:
    """What was changed, what was refused and why, and the proof."""
    return _fragment("rewrite", rewrite=shown, proof=proofs.shown(shown.proof), most=_MOST)


def proof(shown: Proof) -> str | None:
    """The verdict and the three numbers."""
    return _fragment("proof", proof=proofs.shown(shown))


def _fragment(part: str, **context: Any) -> str | None:
    if not is_available():
        return None
    return fill("notebook.html.j2", part=part, style=trusted(static("notebook.css")), **context)
