"""How an affine map moves past operations that only move elements about."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from normfix.transforms.affine import Affine, concatenate
from normfix.transforms.averaging import whole_numbers
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
    first, second = ([int(axis) % rank for axis in whole_numbers(value)] for value in node.args[1:3])
    if name in ("movedim", "moveaxis"):
        rest = [axis for axis in axes if axis not in first]
        for place, moved in sorted(zip(second, first, strict=True)):
            rest.insert(place, moved)
        return rest
    axes[first[0]], axes[second[0]] = axes[second[0]], axes[first[0]]
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
