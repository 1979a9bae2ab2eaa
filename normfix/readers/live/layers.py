"""The layers of a live model: every known leaf, and every other module that holds parameters or buffers itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from normfix import graph, vocabulary
from normfix.readers.live.arguments import arguments_of
from normfix.readers.live.kinds import kind_of
from normfix.readers.live.wrappers import is_hooked, wrappers_of


@dataclass(frozen=True)
class Modules:
    """The layers of one model, found by module path."""

    layers: list[graph.Layer]
    by_path: Mapping[str, graph.Layer]
    """Each path below which one call is made of one layer; what lies inside such a layer is left out."""
    tensors: Mapping[str, graph.Tensor] = field(default_factory=dict)
    """Parameters and buffers by every one of their names."""
    modes: Mapping[str, bool] = field(default_factory=dict)
    """The training flag of every module."""
    hooked: frozenset[str] = frozenset()
    """Paths of modules with forward hooks of the caller, those that prepare a weight aside."""


def modules_of(model: nn.Module) -> Modules:
    """Read every layer off a model, without running it."""
    paths: dict[int, list[str]] = {}
    modules: dict[str, nn.Module] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        paths.setdefault(id(module), []).append(path)
        modules[path] = module
    tensors = _tensors(model)
    by_path: dict[str, graph.Layer] = {}
    made: dict[int, graph.Layer] = {}
    for path, module in modules.items():
        if _inside(path, by_path):
            continue
        if id(module) not in made:
            layer = _layer(path, module, modules, tensors)
            layer.aliases = tuple(paths[id(module)])
            made[id(module)] = layer
        layer = made[id(module)]
        if layer.kind != "unknown" and layer.kind not in vocabulary.CONTAINERS:
            by_path[path] = layer
    layers = [layer for layer in made.values() if layer.state or layer.name in by_path]
    modes = {path: module.training for path, module in modules.items()}
    return Modules(layers, by_path, tensors, modes, frozenset(path for path in modules if is_hooked(modules[path])))


def _inside(path: str, leaves: Mapping[str, graph.Layer]) -> bool:
    while path:
        path = path.rpartition(".")[0]
        if path in leaves:
            return True
    return False


def _layer(
    path: str, module: nn.Module, modules: Mapping[str, nn.Module], tensors: Mapping[str, graph.Tensor]
) -> graph.Layer:
    kind, reason = kind_of(module)
    if kind in vocabulary.CONTAINERS:
        kind, reason = "unknown", f"a {kind} with parameters of its own"
    parent = modules.get(path.rpartition(".")[0]) if path else None
    return graph.Layer(
        kind=kind,
        name=path,
        site=graph.Site(module=path),
        arguments=arguments_of(module, kind),
        reason=reason,
        state={name: tensors[_join(path, name)] for name in _own_names(module, whole=kind != "unknown")},
        training=module.training,
        owner=type(parent).__name__ if parent is not None else "",
        wrappers=wrappers_of(module),
    )


def _own_names(module: nn.Module, whole: bool) -> Sequence[str]:
    """Names of the tensors that belong to this layer; those of its parts too when it is one layer as a whole."""
    return [
        *(name for name, _ in module.named_parameters(recurse=whole, remove_duplicate=False)),
        *(name for name, _ in module.named_buffers(recurse=whole, remove_duplicate=False)),
    ]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _tensors(model: nn.Module) -> dict[str, graph.Tensor]:
    named = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    sharing: dict[object, list[str]] = {}
    for name, tensor in named.items():
        sharing.setdefault(_memory(tensor), []).append(name)
    return {name: tensor_facts(tensor, tuple(sharing[_memory(tensor)])) for name, tensor in named.items()}


def _memory(tensor: torch.Tensor) -> object:
    """Tells one piece of memory from another. A tensor without storage (sparse, functional) is told by its object."""
    try:
        return tensor.untyped_storage()._cdata, tensor.storage_offset()
    except (RuntimeError, NotImplementedError):
        return id(tensor)


def tensor_facts(tensor: torch.Tensor, names: tuple[str, ...]) -> graph.Tensor:
    """A tensor as checks see it; its elements are read only when they are asked for."""

    def values() -> Sequence[float]:
        if tensor.device.type == "meta":
            raise graph.Undecided(f"`{names[0]}` has no values: it lies on the meta device")
        plain: list[float] = tensor.detach().to("cpu", torch.float64).flatten().tolist()
        return plain

    return graph.Tensor(
        shape=tuple(tensor.shape),
        dtype=str(tensor.dtype).removeprefix("torch."),
        device=tensor.device.type,
        values=values,
        requires_grad=tensor.requires_grad,
        names=names,
    )
