"""What `normfix inspect` shows: a row for each call of a norm, a text for each column, made from a layer graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from normfix import norms
from normfix.graph import Call, LayerGraph, Undecided, known

ENOUGH = 32
"""Elements behind a statistic that make it a good one: the least batch gives so many."""
_PARAMETERS = ("weight", "bias", "running_mean", "running_var")
_COLUMNS: dict[str, Callable[[Call, LayerGraph], str]] = {
    "layer": lambda call, graph: call.kind,
    "input": lambda call, graph: shape_text(call.input_shape()),
    "axes": lambda call, graph: _each(call, lambda one: "+".join(map(str, one.axes))),
    "statistics": lambda call, graph: _each(call, lambda one: f"{one.count:,}"),
    "elements": lambda call, graph: _each(call, lambda one: f"{one.elements:,}"),
    "least batch": lambda call, graph: _batch_needed(call),
    "eps": lambda call, graph: _number(call.layer.value("eps")),
    "momentum": lambda call, graph: _number(call.layer.value("momentum")),
    "parameters": lambda call, graph: _parameters(call),
    "mode": lambda call, graph: "training" if known(call.training) else "eval",
    "fed by": lambda call, graph: call.producer().layer.name,
    "read by": lambda call, graph: _readers(call, graph),
}


def rows(graph: LayerGraph, folding: Mapping[str, str] | None = None) -> list[dict[str, object]]:
    """A row for each call of a norm, in the order of execution; for each norm where no calls are known.

    A fact that is not known reads "unknown"; one that the layer does not have is empty. `folding` says for each module
    path where the norm can be folded to, or why it cannot.
    """
    calls = [call for call in graph.calls if is_norm(call)]
    seen = {id(call.layer) for call in calls}
    uncalled = [
        Call(layer, site=layer.site, training=layer.training) for layer in graph.layers if id(layer) not in seen
    ]
    found = [_row(call, graph, number) for number, call in enumerate([*calls, *filter(is_norm, uncalled)], 1)]
    for row in found[len(calls) :] if graph.open is None else ():
        row["fed by"] = row["read by"] = "never called"
    for row in found if folding is not None else ():
        row["fold"] = (folding or {}).get(str(row["path"]), "")
    return found


def is_norm(call: Call) -> bool:
    return call.kind in norms.NORMS


def shape_text(shape: Sequence[int]) -> str:
    """`8x64x56x56`."""
    return "x".join(map(str, shape)) or "scalar"


def _row(call: Call, graph: LayerGraph, number: int) -> dict[str, object]:
    row: dict[str, object] = {"#": number, "path": call.layer.name}
    for title, fact in _COLUMNS.items():
        try:
            row[title] = fact(call, graph)
        except Undecided:
            row[title] = "unknown" if _has(call, title) else ""
    return row


def _has(call: Call, title: str) -> bool:
    """Is this a fact that a layer of this kind has."""
    from normfix import vocabulary

    return title not in ("eps", "momentum") or title in vocabulary.signature(call.kind)


def _each(call: Call, fact: Callable[[norms.Statistics], str]) -> str:
    """One text for each set of statistics that it takes in training; a frozen norm takes none."""
    return ", ".join(map(fact, norms.statistics(call.layer, call.input_shape(), training=True))) or "none"


def _batch_needed(call: Call) -> str:
    """The batch per device with which a batch norm in training has enough elements; other norms do not depend on it."""
    if call.kind not in norms.BATCH:
        return ""
    shape = call.input_shape()
    space = math.prod(shape[2:])
    return str(math.ceil(ENOUGH / space)) if space else "unknown"


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _parameters(call: Call) -> str:
    held = [name for name in _PARAMETERS if name in call.layer.state]
    return ", ".join(held) or "none"


def _readers(call: Call, graph: LayerGraph) -> str:
    names = [reader.layer.name for reader in graph.readers(call)]
    return ", ".join(names + ["the output"] * graph.is_output(call)) or "nothing"
