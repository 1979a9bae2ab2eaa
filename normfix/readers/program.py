"""Reads a saved exported program (`.pt2`) into a layer graph."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import fx

from normfix import graph, vocabulary
from normfix.errors import UsageError
from normfix.readers.live.exported import exported_graph
from normfix.readers.live.layers import Modules, tensor_facts
from normfix.readers.live.operators import arguments_of_operator, kind_of_operator
from normfix.readers.live.preserve import quiet
from normfix.readers.no_code import without_code

_NOT_KEPT = graph.Unknown("a saved program does not keep it")
_KEPT = (
    "eps",
    "momentum",
    "stride",
    "padding",
    "dilation",
    "groups",
    "num_groups",
    "normalized_shape",
    "p",
    "training",
)
"""Arguments of operators that are arguments of their layers too."""


def load(path: str) -> torch.export.ExportedProgram:
    """The program in a file; code in it is not executed. Raises UsageError for a file that is none, or holds code."""
    if not Path(path).is_file():
        raise UsageError(f"cannot read `{path}`: there is no such file")
    with without_code() as refused, quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = torch.export.load(path)
        except Exception as error:
            # A foreign file can break the reader in any way.
            reason = str(error).strip().partition("\n")[0]
            if reason.startswith("Weights only load failed"):
                refused.append("more than tensors")
            if not refused:
                raise UsageError(f"cannot read `{path}`: it is no exported program, or cut off ({reason})") from error
    if refused:
        raise UsageError(f"cannot read `{path}`: it holds {refused[0]}, which may be code and is not executed")
    return program


def read(path: str) -> graph.LayerGraph:
    """The layers and calls of an exported program. Raises UsageError as `load` does."""
    return graph_of(load(path), Path(path).name)


def graph_of(program: torch.export.ExportedProgram, name: str) -> graph.LayerGraph:
    """The layers and calls of a program without the model that it was captured from."""
    tensors = {key: tensor_facts(value, (key,)) for key, value in program.state_dict.items()}
    layers = {path: _layer(path, kind, nodes, tensors) for path, (kind, nodes) in _runs(program).items()}
    found, _ = exported_graph(program, Modules(list(layers.values()), layers, tensors), name)
    return found


def _runs(program: torch.export.ExportedProgram) -> dict[str, tuple[str, list[fx.Node]]]:
    """The outermost known layer around each node: its kind, and the nodes that it ran."""
    found: dict[str, tuple[str, list[fx.Node]]] = {}
    for node in _all_nodes(program.graph_module):
        for path, cls in (node.meta.get("nn_module_stack") or {}).values():
            kind = _kind(cls)
            if kind:
                found.setdefault(str(path).partition("@")[0], (kind, []))[1].append(node)
                break
    return found


def _all_nodes(module: torch.nn.Module) -> Iterator[fx.Node]:
    for part in module.modules():
        if isinstance(part, fx.GraphModule):
            yield from part.graph.nodes


def _kind(cls: object) -> str:
    """The kind that a class name stands for; a class of another package than torch.nn and timm is none."""
    text = cls if isinstance(cls, str) else f"{getattr(cls, '__module__', '')}.{getattr(cls, '__qualname__', '')}"
    package, _, name = text.partition(".")[0], *text.rpartition(".")[1:]
    kind = name if text.startswith("torch.nn.modules.") else f"{package}.{name}"
    return kind if vocabulary.is_known(kind) and kind not in vocabulary.CONTAINERS else ""


def _layer(path: str, kind: str, nodes: list[fx.Node], tensors: Mapping[str, graph.Tensor]) -> graph.Layer:
    prefix = f"{path}." if path else ""
    state = {key[len(prefix) :]: tensor for key, tensor in tensors.items() if key.startswith(prefix)}
    training = _training(nodes)
    return graph.Layer(
        kind,
        path,
        graph.Site(module=path),
        {name: graph.Argument(value) for name, value in _arguments(kind, nodes, state).items()},
        incomplete=_NOT_KEPT,
        state=state,
        training=training,
        aliases=(path,),
    )


def _training(nodes: list[fx.Node]) -> bool | graph.Unknown:
    for node in nodes:
        if kind_of_operator(node.target) in ("batch_norm", "instance_norm", "dropout"):
            for name in ("training", "use_input_stats"):
                argument = arguments_of_operator(node).get(name)
                if argument is not None and isinstance(argument.value, bool):
                    return argument.value
    return _NOT_KEPT


def _arguments(kind: str, nodes: list[fx.Node], state: Mapping[str, graph.Tensor]) -> dict[str, object]:
    """What the operators of a layer and the shapes of its tensors tell of its constructor."""
    wanted = vocabulary.signature(kind)
    found: dict[str, object] = {}
    for node in nodes:
        for name, argument in arguments_of_operator(node).items():
            if name in wanted and name in _KEPT:
                found[name] = argument.value
    weight = state.get("weight")
    found["bias"] = "bias" in state or weight is None
    found["affine"] = found["elementwise_affine"] = weight is not None
    found["track_running_stats"] = "running_mean" in state
    width = state.get("running_mean", weight)
    if width is not None and len(width.shape) == 1:
        found["num_features"] = found["num_channels"] = width.shape[0]
    if weight is not None and len(weight.shape) > 1:
        found.update(_sizes(kind, weight.shape, found.get("groups", 1)))
    return {name: value for name, value in found.items() if name in wanted}


def _sizes(kind: str, shape: graph.Shape, groups: object) -> dict[str, object]:
    if not isinstance(groups, int):
        return {}
    first, second = shape[:2]
    if kind in vocabulary.TRANSPOSED_CONVOLUTIONS:
        return {"in_channels": first, "out_channels": second * groups, "kernel_size": shape[2:]}
    if kind in vocabulary.CONVOLUTIONS:
        return {"in_channels": second * groups, "out_channels": first, "kernel_size": shape[2:]}
    return {"in_features": second, "out_features": first}
