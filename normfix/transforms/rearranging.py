"""How an affine map moves past operations that only move elements about."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from normfix.errors import Refused
from normfix.transforms.affine import Affine, concatenate
from normfix.transforms.averaging import whole_numbers
from normfix.transforms.nodes import argument, operation, shape, source

TURNS = frozenset("permute transpose t swapdims movedim moveaxis mT numpy_T adjoint".split())
JOINS = frozenset({"cat", "stack"})
PIXELS = frozenset({"pixel_shuffle", "pixel_unshuffle"})
Pulled = list[tuple[fx.Node, Affine]]
"""The tensors that an operation reads, each with the map to apply to it."""


def _order(node: fx.Node) -> list[int]:
    rank = len(shape(source(node)))
    name = operation(node)
    axes = list(range(rank))
    if name == "permute":
        return [int(axis) % rank for axis in argument(node, "dims")]  # type: ignore[attr-defined]  # a list of axes
    if name in ("t", "numpy_T"):
        return axes[::-1]
    if name in ("mT", "adjoint"):
        return [*axes[:-2], axes[-1], axes[-2]]
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


def pull_pixels(node: fx.Node, affine: Affine) -> Affine:
    return _gather(node, affine) if operation(node) == "pixel_shuffle" else _spread(node, affine)


def push_pixels(node: fx.Node, affine: Affine) -> Affine:
    return _spread(node, affine) if operation(node) == "pixel_shuffle" else _gather(node, affine)


def _spread(node: fx.Node, affine: Affine) -> Affine:
    """From (.., C r r, H, W) by (.., C, r, r, H, W) to (.., C, H r, W r)."""
    deep, fine, middle, order = _pixels(node)
    turned = affine.reshape(deep, middle).permute(order).reshape([middle[axis] for axis in order], fine)
    if not turned.constant_along([-2, -1]):
        raise Refused(f"`{node.name}` moves pixels between channels that the norm scales differently")
    return turned


def _gather(node: fx.Node, affine: Affine) -> Affine:
    deep, fine, middle, order = _pixels(node)
    split = affine.reshape(fine, [middle[axis] for axis in order])
    return split.permute([order.index(axis) for axis in range(len(order))]).reshape(middle, deep)


def _pixels(node: fx.Node) -> tuple[Sequence[int], Sequence[int], list[int], list[int]]:
    """The sizes with many channels, those with many pixels, those between, and the order of the axes there."""
    shuffles = operation(node) == "pixel_shuffle"
    [r] = whole_numbers(argument(node, "upscale_factor" if shuffles else "downscale_factor"))
    deep, fine = (shape(source(node)), shape(node)) if shuffles else (shape(node), shape(source(node)))
    *rest, channels, height, width = deep
    n = len(rest)
    return deep, fine, [*rest, channels // (r * r), r, r, height, width], [*range(n + 1), n + 3, n + 1, n + 4, n + 2]


def pull_joined(node: fx.Node, affine: Affine) -> Pulled:
    axis = _joined_axis(node)
    maps: dict[fx.Node, Affine] = {}
    start = 0
    for part, size in zip(_parts(node), _sizes(node), strict=True):
        own = affine.narrow(axis, start, size)
        own = own.squeeze([axis]) if operation(node) == "stack" else own
        if not maps.setdefault(part, own).equals(own):
            raise Refused(f"`{node.name}` holds one tensor twice, and the norm scales the two differently")
        start += size
    return list(maps.items())


def push_joined(node: fx.Node, read: fx.Node, affine: Affine) -> Affine:
    axis = _joined_axis(node)
    rank = len(shape(node))
    own = affine.unsqueeze([axis]) if operation(node) == "stack" else affine
    return concatenate([own if part is read else Affine.identity(rank) for part in _parts(node)], axis, _sizes(node))


def _joined_axis(node: fx.Node) -> int:
    axis = argument(node, "dim")
    if not isinstance(axis, int):
        raise Refused(f"the axis of `{node.name}` is not known")
    return axis % len(shape(node))


def _sizes(node: fx.Node) -> list[int]:
    """How much of the axis each part takes."""
    if operation(node) == "cat" and any(len(shape(part)) != len(shape(node)) for part in _parts(node)):
        raise Refused(f"`{node.name}` joins a tensor without axes")
    return [1 if operation(node) == "stack" else shape(part)[_joined_axis(node)] for part in _parts(node)]


def _parts(node: fx.Node) -> list[fx.Node]:
    parts = node.args[0]
    if not isinstance(parts, Sequence) or not all(isinstance(part, fx.Node) for part in parts):
        raise Refused(f"what `{node.name}` joins is not known")
    return [part for part in parts if isinstance(part, fx.Node)]
