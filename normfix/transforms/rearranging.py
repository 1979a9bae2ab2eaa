"""How an affine map moves past operations that only move elements about."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import fx

from normfix.transforms.affine import Affine, concatenate
from normfix.transforms.averaging import need_constant
from normfix.transforms.base import Refused
from normfix.transforms.nodes import argument, operation, shape, source

Pulled = list[tuple[fx.Node, Affine]]
"""The tensors that an operation reads, each with the map to apply to it."""


def _order(node: fx.Node) -> list[int]:
    rank = len(shape(source(node)))
    name = operation(node)
    axes = list(range(rank))
    if name == "permute":
        return [int(axis) % rank for axis in argument(node, "dims")]  # type: ignore[attr-defined]  # a list of axes
    if name == "t":
        return axes[::-1]
    first, second = (int(argument(node, name)) % rank for name in ("dim0", "dim1"))  # type: ignore[call-overload]  # ints
    axes[first], axes[second] = axes[second], axes[first]
    return axes


def pull_permute(node: fx.Node, affine: Affine) -> Affine:
    order = _order(node)
    return affine.permute([order.index(axis) for axis in range(len(order))])


def push_permute(node: fx.Node, affine: Affine) -> Affine:
    return affine.permute(_order(node))


def pull_reshape(node: fx.Node, affine: Affine) -> Affine:
    return affine.reshape(shape(node), shape(source(node)))


def push_reshape(node: fx.Node, affine: Affine) -> Affine:
    return affine.reshape(shape(source(node)), shape(node))


def pull_slice(node: fx.Node, affine: Affine) -> Affine:
    need_constant(node, affine, [int(argument(node, "dim"))])  # type: ignore[call-overload]  # an int
    return affine


def push_slice(node: fx.Node, affine: Affine) -> Affine:
    axis = int(argument(node, "dim"))  # type: ignore[call-overload]  # an int
    if affine.constant_along([axis]):
        return affine
    size = shape(source(node))[axis]
    start, end, step = (argument(node, name) for name in ("start", "end", "step"))
    chosen = torch.arange(size)[slice(start, end, step)]
    return Affine(_choose(affine.scale, axis, chosen), _choose(affine.shift, axis, chosen))


def _choose(part: torch.Tensor, axis: int, chosen: torch.Tensor) -> torch.Tensor:
    return part if part.shape[axis] == 1 else part.index_select(axis, chosen)


def pull_cat(node: fx.Node, affine: Affine) -> Pulled:
    axis = _cat_axis(node)
    parts: Pulled = []
    start = 0
    for part in _parts(node):
        size = shape(part)[axis]
        parts.append((part, affine.narrow(axis, start, size)))
        start += size
    return parts


def push_cat(node: fx.Node, read: fx.Node, affine: Affine) -> Affine:
    axis = _cat_axis(node)
    rank = len(shape(node))
    parts = _parts(node)
    return concatenate(
        [affine if part is read else Affine.identity(rank) for part in parts],
        axis,
        [shape(part)[axis] for part in parts],
    )


def _cat_axis(node: fx.Node) -> int:
    axis = argument(node, "dim")
    if not isinstance(axis, int):
        raise Refused(f"the axis of `{node.name}` is not known")
    return axis % len(shape(node))


def _parts(node: fx.Node) -> list[fx.Node]:
    parts = node.args[0]
    if not isinstance(parts, Sequence) or not all(isinstance(part, fx.Node) for part in parts):
        raise Refused(f"what `{node.name}` concatenates is not known")
    return [part for part in parts if isinstance(part, fx.Node)]
