"""What the tests of the source reader ask of a graph."""

from textwrap import dedent

from normfix import norms, vocabulary
from normfix.graph import Call, Layer, LayerGraph, Undecided
from normfix.readers.scripts import read
from normfix.readers.source import graphs

HEAD = """
import torch
import torch.nn as nn
import torch.nn.functional as F
"""


def graphs_of(text: str, head: str = HEAD) -> list[LayerGraph]:
    """The graphs of a source text, the usual imports before it."""
    return graphs(read(head + dedent(text), "model.py"))


def graph_of(text: str, name: str = "Net", head: str = HEAD) -> LayerGraph:
    """The graph of one class or function."""
    found = [graph for graph in graphs_of(text, head) if graph.name == name]
    assert len(found) == 1, [graph.name for graph in graphs_of(text, head)]
    return found[0]


def net(init: str, forward: str, signature: str = "") -> str:
    """A class from the bodies of its constructor and its forward."""
    return (
        f"class Net(nn.Module):\n    def __init__(self{signature}):\n        super().__init__()\n"
        + _indented(init)
        + "    def forward(self, x):\n"
        + _indented(forward)
    )


def _indented(body: str) -> str:
    return "".join(f"        {line}\n" for line in dedent(body).strip("\n").splitlines())


def edges(graph: LayerGraph) -> set[tuple[str, str]]:
    """(producer, norm) for every norm call whose producer is known, by layer names."""
    found = set()
    for call in graph.calls:
        if call.kind in norms.NORMS:
            try:
                found.add((call.producer().layer.name, call.layer.name))
            except Undecided:
                continue
    return found


def redundant(found: list[LayerGraph]) -> set[str]:
    """Layers whose bias every use hands to a batch or instance norm and to nothing else, in every graph."""
    answers: dict[object, list[bool]] = {}
    names: dict[object, str] = {}
    for graph in found:
        for layer in graph.layers:
            if layer.kind in vocabulary.PRODUCERS:
                answers.setdefault(layer.site.origin, []).append(_is_redundant(layer, graph))
                names.setdefault(layer.site.origin, layer.name)
    return {names[origin] for origin, verdicts in answers.items() if all(verdicts)}


def _is_redundant(layer: Layer, graph: LayerGraph) -> bool:
    try:
        calls = graph.calls_of(layer)
        return bool(calls) and layer.flag("bias") and all(_feeds_norm(call, graph) for call in calls)
    except Undecided:
        return False


def _feeds_norm(call: Call, graph: LayerGraph) -> bool:
    norm = graph.only_reader(call)
    return norm.kind in norms.BATCH | norms.INSTANCE and norm.layer.training is not False
