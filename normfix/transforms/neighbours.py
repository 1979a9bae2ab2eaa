"""Redundant biases found without example inputs: only a norm right behind its convolution is recognised.

BN(f(x) + b; running_mean) = BN(f(x); running_mean - b)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from normfix import norms
from normfix.errors import UsageError
from normfix.graph import Layer, LayerGraph, Undecided
from normfix.readers.model import capture
from normfix.rewrites import Change
from normfix.vocabulary import LINEAR


def shifted(state: Mapping[str, Any], like: nn.Module, biases: Iterable[str]) -> tuple[dict[str, Any], list[Change]]:
    """The state dict without these biases, which `like` has lost, the running means behind them shifted.

    Raises UsageError where it cannot be told which norm subtracts one of them.
    """
    graph = capture(like).graph
    new = {name: tensor for name, tensor in state.items() if name not in set(biases)}
    changes: list[Change] = []
    seen: list[nn.Module] = []
    for name in biases:
        path = name.rpartition(".")[0]
        if any(like.get_submodule(path) is module for module in seen):
            continue  # one layer under a second name
        seen.append(like.get_submodule(path))
        try:
            behind = _norms_behind(graph, path)
        except Undecided as undecided:
            raise UsageError(
                f"cannot tell which norm subtracts `{name}`: {undecided.reason}; give example inputs, which may show it"
            ) from undecided
        for mean in (f"{norm_path}.running_mean" for norm in behind for norm_path in _paths(norm)):
            if mean in new:
                new[mean] = (new[mean].double() - state[name].double()).to(new[mean].dtype)
        changes.append(
            Change(path, f"bias dropped, since {', '.join(f'`{_paths(n)[0]}`' for n in behind)} subtracts it")
        )
    return new, changes


def _norms_behind(graph: LayerGraph, path: str) -> list[Layer]:
    """The norms that read this layer and nothing else, and subtract its bias. Raises `Undecided`."""
    layer = next((one for one in graph.layers if path in _paths(one)), None)
    if layer is None:
        raise Undecided(f"`{path}` is not seen in the forward pass")
    if layer.kind in LINEAR:
        raise Undecided(f"`{path}` is linear, and which axis a norm behind it takes depends on the rank of its input")
    calls = graph.calls_of(layer)
    behind: dict[int, Layer] = {}
    for call in calls:
        reader = graph.only_reader(call)
        if not norms.cancels_bias(reader.layer):
            raise Undecided(f"what reads `{path}` is `{reader.layer.name}`, which subtracts no constant")
        behind[id(reader.layer)] = reader.layer
    for norm in behind.values():
        if any(call.producer() not in calls for call in graph.calls_of(norm)):
            raise Undecided(f"`{norm.name}` reads other layers than `{path}` too")
    if not behind:
        raise Undecided(f"`{path}` is not called")
    return list(behind.values())


def _paths(layer: Layer) -> list[str]:
    """Every module path of the layer, its own first."""
    return list(dict.fromkeys(path for path in (layer.site.module, *layer.aliases) if path))
