"""A document as a page: one template, its style sheet, and the scripts that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from normfix.reports import plots
from normfix.reports.html import findings, layers, proofs
from normfix.reports.html.environment import fill, packed, policy, static, trusted
from normfix.reports.html.picture import MOST, differences, picture

if TYPE_CHECKING:
    from normfix.graph import LayerGraph
    from normfix.reports.html import Document


def render(document: Document) -> str:
    """The whole page. Raises UsageError where a library is missing."""
    from normfix import __version__
    from normfix.findings import Report

    report = document.report or Report()
    proof = document.rewrite.proof if document.rewrite else document.proof
    table = layers.table(document.graph, document.norms, report.findings)
    anchors = {row.path: number for number, row in reversed(list(enumerate(table.rows, 1)))}
    graphs = _pictures(document, anchors)
    style, script, viz = static("report.css"), static("report.js"), static("viz-global.js")
    return fill(
        "report.html.j2",
        version=__version__,
        document=document,
        reported=document.report is not None,
        report=report,
        counts=findings.counts(report),
        findings=findings.shown(report),
        codes=sorted({(finding.code, finding.slug) for finding in report.findings}),
        table=table,
        profiles=layers.profiles(document.graph, table) if document.graph else [],
        outputs=[(one.name, trusted(drawn)) for one in document.outputs if (drawn := plots.densities(one))],
        proof=proofs.shown(proof) if proof else None,
        trial_titles=proofs.TRIAL_TITLES,
        rewrite=document.rewrite,
        left={refusal.where for refusal in document.rewrite.refused} if document.rewrite else set(),
        graphs=graphs,
        anchors=anchors,
        missing=_missing(document.graph),
        most=MOST,
        policy=policy((script, viz) if graphs else (script,), style),
        style=trusted(style),
        script=trusted(script),
        viz=packed("viz-global.js") if graphs else "",
    )


def _pictures(document: Document, anchors: Mapping[str, int]) -> list[dict[str, Any]]:
    """The data of one graph, or of two side by side; none where no calls are known."""
    found = list(document.report.findings) if document.report else []
    before, after = document.graph, document.after
    if before is None or not before.calls:
        return []
    if after is None or not after.calls:
        return [picture(before, found, {}, anchors)]
    old, new = differences(before, after)
    return [picture(before, found, old, anchors), picture(after, [], new, {})]


def _missing(graph: LayerGraph | None) -> str:
    """Why there is no picture."""
    if graph is None or graph.calls:
        return ""
    return graph.open.reason if graph.open else "the network calls nothing"
