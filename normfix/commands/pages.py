"""`--html FILE`: the result of a command as a page, beside what it prints."""

from __future__ import annotations

import argparse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from torch import nn

    from normfix.findings import Report
    from normfix.graph import LayerGraph
    from normfix.rewrites import Proof, Rewrite


def reported(arguments: argparse.Namespace, report: Report, graph: LayerGraph | None = None) -> None:
    """Write the page of `lint` or `check`, if one was asked for."""
    if wanted(arguments):
        _write(arguments, _what(arguments), report=report, graph=graph)


def inspected(arguments: argparse.Namespace, graph: LayerGraph, norms: Sequence[Mapping[str, object]]) -> None:
    """Write the page of `inspect`, if one was asked for."""
    if wanted(arguments):
        _write(arguments, _what(arguments), graph=graph, norms=norms)


def rewritten(arguments: argparse.Namespace, model: nn.Module, inputs: tuple[Any, ...], rewrite: Rewrite) -> None:
    """Write the page of a rewrite of a live model, if one was asked for: both networks, and what they compute."""
    if not wanted(arguments):
        return
    from normfix.checking.sampling import outputs
    from normfix.readers.model import capture

    before, after = (capture(one, inputs or None).graph for one in (model, rewrite.model))
    samples = outputs(model, rewrite.model, inputs, [change.where for change in rewrite.applied])
    _write(arguments, _what(arguments), graph=before, after=after, rewrite=rewrite, outputs=samples)


def proven(arguments: argparse.Namespace, proof: Proof) -> None:
    """Write the page of `verify`, or of a rewrite whose proof failed, if one was asked for."""
    if wanted(arguments):
        _write(arguments, _what(arguments), proof=proof)


def wanted(arguments: argparse.Namespace) -> bool:
    return bool(getattr(arguments, "html", None))


def _write(arguments: argparse.Namespace, title: str, **sections: Any) -> None:
    from normfix.reports import html

    html.write(arguments.html, html.Document(title, **sections))


def _what(arguments: argparse.Namespace) -> str:
    """The command and what it was run on."""
    subjects = [getattr(arguments, name, None) or () for name in ("paths", "target", "before", "after", "to")]
    words = [word for one in subjects for word in ([one] if isinstance(one, str) else one)]
    return " ".join(["normfix", arguments.command, *words])
