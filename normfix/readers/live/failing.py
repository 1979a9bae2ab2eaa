"""What a forward pass did before it failed: run once more on tensors without data, noting every known layer's call.

A model whose shapes do not fit, or whose control flow depends on values, gives no trace; the shapes that reached its
norms are known all the same up to the line that failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

from normfix import graph, norms
from normfix.readers.live.layers import Modules


@dataclass
class Recording:
    """The calls of known layers, in order, and who made each tensor that they read."""

    modules: Modules
    calls: list[graph.Call] = field(default_factory=list)
    made: dict[int, tuple[graph.Call, torch.Tensor, int]] = field(default_factory=dict)
    """By identity of the tensor, which is kept alive, with its version when it was made."""

    def give(self, tensor: torch.Tensor, call: graph.Call) -> None:
        self.made[id(tensor)] = call, tensor, tensor._version

    def read(self, tensor: torch.Tensor) -> graph.Call:
        """The call that made a tensor; one of kind "unknown" where no known layer did, or it was changed since."""
        call, _, version = self.made.get(id(tensor), (None, None, -1))
        if call is not None and version == tensor._version:
            return call
        layer = graph.Layer("unknown", "", reason="an operation between layers that could not be traced")
        call = graph.Call(layer, (), *facts(tensor), training=False)
        self.calls.append(call)
        self.give(tensor, call)
        return call

    def run(self, layer: graph.Layer, inputs: object) -> graph.Call:
        """Note the beginning of one call."""
        tensors = [item for item in pytree.tree_leaves(inputs) if isinstance(item, torch.Tensor)]
        sources = tuple(self.read(tensor) for tensor in tensors)
        training = layer.training
        if layer.kind in norms.BATCH or layer.kind in norms.INSTANCE:
            training = norms.uses_input_statistics(layer, layer.training is True)
        call = graph.Call(layer, sources, site=layer.site, training=training)
        self.calls.append(call)
        return call


def facts(tensor: torch.Tensor) -> tuple[graph.Shape | graph.Unknown, str]:
    """Shape and dtype."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    if not all(isinstance(size, int) for size in tensor.shape):
        return graph.Unknown("a size depends on the values of the input"), dtype
    return tuple(tensor.shape), dtype


def record(
    model: nn.Module, modules: Modules, arguments: tuple[Any, ...], keywords: Mapping[str, Any]
) -> list[graph.Call]:
    """The calls of known layers up to the failure. The caller keeps the model untouched."""
    recording = Recording(modules)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        state: dict[str, torch.Tensor] = {
            name: mode.from_tensor(tensor) for name, tensor in (*model.named_parameters(), *model.named_buffers())
        }
        given = pytree.tree_map_only(torch.Tensor, mode.from_tensor, (arguments, dict(keywords)))
        for index, tensor in enumerate(item for item in pytree.tree_leaves(given) if isinstance(item, torch.Tensor)):
            call = graph.Call(graph.Layer("input", f"input{index}"), (), *facts(tensor), training=False)
            recording.calls.append(call)
            recording.give(tensor, call)
        with _listening(model, recording), torch.no_grad():
            try:
                torch.func.functional_call(model, state, *given)
            except Exception:
                # That it fails is known, and why; here the calls before the failure count.
                return recording.calls
    return recording.calls


@contextmanager
def _listening(model: nn.Module, recording: Recording) -> Iterator[None]:
    layers = {id(model.get_submodule(path)): layer for path, layer in recording.modules.by_path.items()}
    original = nn.Module.__call__
    inside: list[nn.Module] = []

    def listen(module: nn.Module, *arguments: Any, **keywords: Any) -> Any:
        layer = layers.get(id(module))
        if layer is None or inside:
            return original(module, *arguments, **keywords)
        call = recording.run(layer, (arguments, keywords))
        inside.append(module)
        try:
            result = original(module, *arguments, **keywords)
        finally:
            inside.pop()
        if isinstance(result, torch.Tensor):
            call.shape, call.dtype = facts(result)
            recording.give(result, call)
        return result

    with patch.object(nn.Module, "__call__", listen):
        yield


def annotate(calls: list[graph.Call], recorded: list[graph.Call]) -> None:
    """Give the calls of a trace without shapes those that a recording saw: call by call of each layer."""
    seen: dict[int, list[graph.Call]] = {}
    for call in recorded:
        seen.setdefault(id(call.layer), []).append(call)
    for call in calls:
        known = seen.get(id(call.layer))
        if not known:
            continue
        twin = known.pop(0)
        call.shape, call.dtype = twin.shape, twin.dtype
        for mine, its in zip(call.inputs, twin.inputs, strict=False):
            if isinstance(mine, graph.Call) and isinstance(its, graph.Call) and isinstance(mine.shape, graph.Unknown):
                mine.shape, mine.dtype = its.shape, its.dtype
