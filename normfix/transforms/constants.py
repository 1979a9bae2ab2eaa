"""Tensors that a graph holds whatever the inputs of the model are: stored ones, literals, and what is made of these."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.node import map_arg

from normfix.errors import Refused
from normfix.transforms.flow import Flow
from normfix.transforms.guards import not_changed_in_place, writes_in_place
from normfix.transforms.nodes import operation

_MADE = frozenset("arange zeros ones cat stack".split())
_MOVES = frozenset(
    "view reshape flatten unflatten squeeze unsqueeze permute transpose t expand slice select narrow flip roll repeat "
    "alias detach contiguous clone lift_fresh lift_fresh_copy".split()
)
_CASTS = frozenset("to _to_copy type_as".split())
_SHORT = 2.0**10
"""A literal that is a multiple of its inverse is the same in every dtype: others (0.1) are rounded in the model's."""


def is_constant(flow: Flow, value: object) -> bool:
    """Is this a number, or a node that depends on no input."""
    return isinstance(value, (int, float)) or (isinstance(value, fx.Node) and value not in flow.varying)


def constant(flow: Flow, value: object) -> Tensor:
    """A number or a constant node as a tensor on the CPU; floats are in float64, and computed there. Raises `Refused`
    where the value is not known, or forward writes into it."""
    if not isinstance(value, fx.Node):
        return torch.tensor(value, dtype=torch.float64)
    not_changed_in_place(flow, value)
    name = flow.tensor(value)
    if name is not None or value.name in flow.literals:
        return _stored(flow, value, name)
    if writes_in_place(value):
        raise Refused(f"{flow.name(value)} changes a constant in place")
    if operation(value) in _CASTS:
        return _cast(flow, value)
    if operation(value) not in _MOVES | _MADE and not _is_pointwise(value):
        raise Refused(f"the constant that {flow.name(value)} makes is not known")
    args, kwargs = map_arg((value.args, value.kwargs), lambda node: constant(flow, node))
    result: Any = value.target(*args, **{**kwargs, **({"device": "cpu"} if "device" in kwargs else {})})  # type: ignore[operator]  # an ATen operation
    return _unrounded(flow, value, result) if not value.all_input_nodes else result


def _stored(flow: Flow, node: fx.Node, name: str | None) -> Tensor:
    if name is None:
        return _unrounded(flow, node, flow.literals[node.name].cpu())
    path, _, leaf = name.rpartition(".")
    tensor = getattr(flow.model.get_submodule(path), leaf).detach()
    if tensor.device.type == "meta":
        raise Refused(f"`{name}` is on the meta device, which holds no values")
    return _wide(tensor.cpu())


def _cast(flow: Flow, node: fx.Node) -> Tensor:
    before, value = constant(flow, node.args[0]), node.meta.get("val")
    if not isinstance(value, Tensor) or value.is_complex() or (before.is_floating_point() > value.is_floating_point()):
        raise Refused(f"the constant that {flow.name(node)} makes is not known")
    return before.double() if value.is_floating_point() else before.to(value.dtype)


def _unrounded(flow: Flow, node: fx.Node, tensor: Tensor) -> Tensor:
    wide = _wide(tensor)
    if wide is not tensor and not torch.equal(wide * _SHORT, (wide * _SHORT).round()):
        raise Refused(f"the numbers that {flow.name(node)} writes out are rounded to {tensor.dtype}")
    return wide


def _is_pointwise(node: fx.Node) -> bool:
    tags = getattr(node.target, "tags", ())
    return torch.Tag.pointwise in tags and torch.Tag.nondeterministic_seeded not in tags


def _wide(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor
