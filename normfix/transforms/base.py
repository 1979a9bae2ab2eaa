"""What transforms are made of: edits, and the plan that a transform works out before anything is touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from normfix.rewrites import Change, Refusal


@dataclass(frozen=True, slots=True)
class SetTensor:
    """Give the parameter or buffer `name` a new value, computed in float64; it is cast once, when it is written."""

    name: str
    value: torch.Tensor
    like: str
    """The tensor whose dtype, device and requires_grad a new one takes; the tensor itself where it exists."""


@dataclass(frozen=True, slots=True)
class DropTensor:
    """Set the parameter `name` to None."""

    name: str


@dataclass(frozen=True, slots=True)
class SetAttribute:
    """Give the module at `path` the plain attribute `name`."""

    path: str
    name: str
    value: object


@dataclass(frozen=True, slots=True)
class ReplaceModule:
    """Put `make(module)` wherever the module at `path` is registered, under every name that it has."""

    path: str
    make: Callable[[nn.Module], nn.Module]


Edit = SetTensor | DropTensor | SetAttribute | ReplaceModule


@dataclass(slots=True)
class Plan:
    """What a transform would do: the edits, in order, and the account of every site."""

    edits: list[Edit] = field(default_factory=list)
    applied: list[Change] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def apply(edits: Sequence[Edit], model: nn.Module) -> nn.Module:
    """Carry out the edits on `model`, in place, in the dtype that it has. Returns the model (a new root, where the
    root itself is replaced)."""
    places = _places(model)
    for edit in edits:
        if isinstance(edit, SetTensor):
            _set_tensor(model, edit)
        elif isinstance(edit, DropTensor):
            owner, leaf = owner_of(model, edit.name)
            owner._parameters[leaf] = None
        elif isinstance(edit, SetAttribute):
            setattr(model.get_submodule(edit.path), edit.name, edit.value)
        else:
            model = _replace(model, edit, places)
    return model


def owner_of(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that holds the tensor `name`, and the tensor's name in it."""
    path, _, leaf = name.rpartition(".")
    return model.get_submodule(path), leaf


def _set_tensor(model: nn.Module, edit: SetTensor) -> None:
    owner, leaf = owner_of(model, edit.name)
    present = getattr(owner, leaf, None)
    if isinstance(present, torch.Tensor):
        with torch.no_grad():
            present.copy_(edit.value)
        return
    sibling, other = owner_of(model, edit.like)
    like: torch.Tensor = getattr(sibling, other)
    value = edit.value.to(dtype=like.dtype, device=like.device)
    owner.register_parameter(leaf, nn.Parameter(value, requires_grad=like.requires_grad))


_Places = dict[nn.Module, list[tuple[nn.Module, str]]]


def _places(model: nn.Module) -> _Places:
    """For every module, the parents that it is registered in, and its names there."""
    found: _Places = {}
    for parent in model.modules():
        for name, child in parent._modules.items():
            if child is not None:
                found.setdefault(child, []).append((parent, name))
    return found


def _replace(model: nn.Module, edit: ReplaceModule, places: _Places) -> nn.Module:
    old = model.get_submodule(edit.path)
    new = edit.make(old)
    here = places.pop(old, [])
    for parent, name in here:
        parent._modules[name] = new
    for child, inside in _places(new).items():
        places[child] = [*places.get(child, []), *inside]
    places.setdefault(new, []).extend(here)
    return new if model is old else model
