"""Reads a live model: its layers, and through a trace its calls. The caller's model comes back untouched."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import fx, nn
from torch.utils import _pytree as pytree

from normfix import norms
from normfix.graph import Call, LayerGraph, Unknown
from normfix.readers.live.definitions import definitions_of
from normfix.readers.live.exported import exported_graph
from normfix.readers.live.failing import annotate, record
from normfix.readers.live.failures import why
from normfix.readers.live.inference import closed, ordinary
from normfix.readers.live.kept import attributes, mark
from normfix.readers.live.layers import Modules, modules_of
from normfix.readers.live.preserve import quiet, traceable, untouched
from normfix.readers.live.recomputed import watching
from normfix.readers.live.symbolic import symbolic_graph
from normfix.readers.live.wrappers import require_plain, unwrap


@dataclass(frozen=True)
class Capture:
    """What is known of a model."""

    graph: LayerGraph
    model: nn.Module
    """The module whose paths the graph uses: without DataParallel and the like around it."""
    program: torch.export.ExportedProgram | None = None
    """The exported program that the graph was read from; None where there are no example inputs or it failed."""
    reason: str = ""
    """Why there are no edges, or no shapes; empty where all is known."""
    broken: str = ""
    """Why the forward pass raises with these example inputs; empty where it runs."""
    wrappers: tuple[str, ...] = ()
    """What was taken off: "DataParallel", "DistributedDataParallel", "OptimizedModule"."""
    nodes: Mapping[Call, tuple[fx.Node, ...]] = field(default_factory=dict)
    """The nodes of `program` that each call was collapsed from."""

    def module(self, call: Call) -> nn.Module | None:
        """The innermost module that runs this call; None where it has no path."""
        path = call.site.module
        return None if path is None else self.model.get_submodule(path)


def capture(
    model: nn.Module, example_inputs: object = None, example_kwargs: Mapping[str, Any] | None = None
) -> Capture:
    """Read a model: with example inputs through torch.export, without through torch.fx.

    `example_inputs` is a tensor, a tuple of arguments, or a dict of keyword arguments. A model that cannot be traced
    still gives its layers; `reason` and `graph.open` then say why the calls are missing. Raises UsageError for
    wrappers that cannot be taken off and for lazy layers.
    """
    plain, around = unwrap(require_plain(model))
    plain = ordinary(plain)
    modules = modules_of(plain)
    found = _captured(plain, modules, around, example_inputs, example_kwargs)
    found.graph.wrappers = around
    found.graph.definitions = definitions_of(plain)
    return found


def _captured(
    plain: nn.Module,
    modules: Modules,
    around: tuple[str, ...],
    example_inputs: object,
    example_kwargs: Mapping[str, Any] | None,
) -> Capture:
    name = type(plain).__name__
    if isinstance(plain, torch.jit.ScriptModule):
        return _closed(plain, modules, "it is a TorchScript module, whose code is no longer Python", around)
    if example_inputs is None and not example_kwargs:
        return _symbolic(plain, modules, around, "")
    arguments, keywords = _arguments(example_inputs, example_kwargs, plain)
    try:
        with watching() as recomputed:
            program, kept = _export(plain, arguments, keywords)
    except ZeroDivisionError as error:
        return _stilled(plain, modules, around, arguments, keywords, why(error))
    except Exception as error:
        # torch.export runs the caller's forward, so that any exception may come out of it.
        found = _symbolic(plain, modules, around, why(error))
        _add_shapes(found, modules, arguments, keywords)
        return replace(found, broken=_breaks(plain, arguments, keywords))
    for path, layer in modules.by_path.items():
        layer.recomputed = layer.recomputed or plain.get_submodule(path) in recomputed
    calls, builder = exported_graph(program, modules, name)
    mark(calls.calls, kept, modules)
    return Capture(calls, plain, program, wrappers=around, nodes=builder.nodes)


def _export(
    model: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any], still: bool = False
) -> tuple[torch.export.ExportedProgram, list[str]]:
    """The program, and the attributes that its forward pass keeps tensors in."""
    with untouched(model), traceable(model), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if still:
            model.eval()
        program = torch.export.export(model, arguments, keywords, strict=False)
    return program, attributes(said)


def _stilled(
    model: nn.Module,
    modules: Modules,
    around: tuple[str, ...],
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    reason: str,
) -> Capture:
    """A variance over one element divides by zero: read the calls off the model in eval mode, and their modes off
    its layers. There is no program then, since the model as it is has none."""
    try:
        program, kept = _export(model, arguments, keywords, still=True)
    except Exception as error:
        return _symbolic(model, modules, around, why(error))
    calls, _ = exported_graph(program, modules, type(model).__name__)
    mark(calls.calls, kept, modules)
    for call in calls.calls:
        if call.kind in ("batch_norm", "instance_norm"):
            call.training = Unknown("this functional norm was read off the model in eval mode")
        elif call.kind in norms.BATCH or call.kind in norms.INSTANCE:
            call.training = norms.uses_input_statistics(call.layer, call.layer.training is True)
    return Capture(calls, model, None, f"a statistic of one element: {reason}", wrappers=around)


def _add_shapes(found: Capture, modules: Modules, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    """The forward pass fails, but the shapes that reached the layers before it did are facts."""
    with untouched(found.model), traceable(found.model), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recorded = record(found.model, modules, arguments, keywords)
    if found.graph.open is not None:
        found.graph.calls += recorded
        return
    annotate(found.graph.calls, recorded)
    for call in found.graph.calls:
        if isinstance(call.shape, Unknown):
            call.shape = Unknown(f"the shape is not known: {found.reason}")


def _breaks(model: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> str:
    """Why the forward pass itself raises with these inputs; empty where only a trace cannot follow it."""
    given = pytree.tree_map_only(torch.Tensor, torch.clone, (arguments, keywords))
    with untouched(model, keep_buffers=True), quiet(), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            model(*given[0], **given[1])
        except Exception as error:
            # The caller's forward may raise anything.
            return why(error)
    return ""


def _symbolic(model: nn.Module, modules: Modules, around: tuple[str, ...], reason: str) -> Capture:
    try:
        with untouched(model, keep_buffers=True), traceable(model), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            calls, builder = symbolic_graph(model, modules, type(model).__name__)
    except Exception as error:
        # torch.fx runs the caller's forward, too.
        return _closed(model, modules, reason or why(error), around)
    return Capture(calls, model, None, reason, wrappers=around, nodes=builder.nodes)


def _closed(model: nn.Module, modules: Modules, reason: str, around: tuple[str, ...]) -> Capture:
    sentence = f"the calls of {type(model).__name__} are not known: {reason}"
    found = LayerGraph(type(model).__name__, list(modules.layers), open=Unknown(sentence))
    return Capture(found, model, None, reason, wrappers=around)


def _arguments(
    inputs: object, keywords: Mapping[str, Any] | None, model: nn.Module
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments, on the one device that the model lies on."""
    named = dict(keywords or {})
    if isinstance(inputs, Mapping):
        positional: Sequence[Any] = ()
        named = {**inputs, **named}
    elif isinstance(inputs, (tuple, list)):
        positional = inputs
    else:
        positional = () if inputs is None else (inputs,)
    devices = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
    if len(devices) != 1:
        return tuple(positional), named
    device = devices.pop()
    return pytree.tree_map_only(torch.Tensor, lambda tensor: _moved(tensor, device), (tuple(positional), named))  # type: ignore[no-any-return]  # the tree keeps its form


def _moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    tensor = tensor.clone() if closed(tensor) else tensor
    return tensor if tensor.device == device else tensor.to(device)
