"""Which places along which axes an operation picks from the tensor that it reads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx

from normfix.errors import Refused
from normfix.transforms.constants import constant, is_constant
from normfix.transforms.flow import Flow
from normfix.transforms.nodes import argument, operation, shape, source

SPLITS = frozenset("chunk unsafe_chunk split unsafe_split split_with_sizes tensor_split unbind".split())
_SHUFFLES = frozenset("channel_shuffle native_channel_shuffle".split())
_INDICES = frozenset({"index", "index_select"})
_REPEATS = frozenset({"repeat", "tile"})
EXPANDS = frozenset("expand expand_as broadcast_to".split())
PICKS = (_SHUFFLES | _INDICES | _REPEATS | EXPANDS | {"slice", "select", "narrow", "flip", "roll", "getitem"}) | {
    "repeat_interleave"
}
Places = tuple[int, Tensor]
"""An axis, and the places along it that are picked, in order."""


def picked_from(node: fx.Node) -> fx.Node:
    """The tensor whose elements are picked."""
    before = source(node)
    if operation(node) != "getitem":
        return before
    if operation(before) not in SPLITS:
        raise Refused(f"`{before.name}` stands between")
    return source(before)


def dropped(flow: Flow, node: fx.Node) -> int | None:
    """The axis that the result has lost."""
    if operation(node) == "select" or (operation(node) == "getitem" and operation(source(node)) == "unbind"):
        return places_of(flow, node)[0][0]
    return None


def places_of(flow: Flow, node: fx.Node) -> list[Places]:
    """The places along each axis, where they are not all in order. Axes are those of the tensor that is read, with the
    new ones in front of it where the result has more."""
    sizes, name = shape(picked_from(node)), operation(node)
    if name == "getitem":
        return [_part(node)]
    if name in _SHUFFLES:
        order = torch.arange(sizes[1]).view(_whole(argument(node, "groups")), -1)
        return [(1, order.t().reshape(-1))]
    if name in ("flip", "roll"):
        return _turned(node, sizes)
    if name in _INDICES:
        return [_indexed(flow, node, sizes)]
    if name in _REPEATS or name in EXPANDS:
        return _repeated(node, sizes)
    axis = _axis(node, sizes)
    places = torch.arange(sizes[axis])
    if name == "repeat_interleave":
        return [(axis, places.repeat_interleave(_whole(argument(node, "repeats"))))]
    if name == "select":
        return [(axis, places[_whole(argument(node, "index"))].reshape(1))]
    if name == "narrow":
        start = _whole(argument(node, "start")) % max(sizes[axis], 1)
        return [(axis, places[start : start + _whole(argument(node, "length"))])]
    ends = [argument(node, part) for part in ("start", "end", "step")]
    return [(axis, places[slice(*(None if end is None else _whole(end) for end in ends))])]


def _axis(node: fx.Node, sizes: Sequence[int]) -> int:
    return _whole(argument(node, "dim")) % len(sizes)


def _part(node: fx.Node) -> Places:
    """The places that one of the results of a split holds."""
    split, number = source(node), _whole(node.args[1])
    axis = _axis(split, shape(source(split)))
    if operation(split) == "unbind":
        return axis, torch.tensor([number % shape(source(split))[axis]])
    sizes = [int(part.shape[axis]) for part in split.meta["val"]]
    return axis, torch.arange(sum(sizes[:number]), sum(sizes[: number + 1]))


def _turned(node: fx.Node, sizes: Sequence[int]) -> list[Places]:
    axes = [_whole(axis) % len(sizes) for axis in _list(argument(node, "dims"))]
    if operation(node) == "flip":
        return [(axis, torch.arange(sizes[axis]).flip(0)) for axis in axes]
    if not axes:
        raise Refused(f"`{node.name}` rolls over the ends of axes")
    shifts = _list(argument(node, "shifts"))
    return [(axis, torch.arange(sizes[axis]).roll(_whole(by))) for axis, by in zip(axes, shifts, strict=True)]


def _indexed(flow: Flow, node: fx.Node, sizes: Sequence[int]) -> Places:
    if operation(node) == "index_select":
        axis, index = _axis(node, sizes), argument(node, "index")
    else:
        given = [(axis, index) for axis, index in enumerate(_list(argument(node, "indices"))) if index is not None]
        if len(given) != 1:
            raise Refused(f"`{node.name}` picks along several axes at once")
        [(axis, index)] = given
    if not is_constant(flow, index):
        raise Refused(f"which elements `{node.name}` picks depends on the inputs")
    chosen = constant(flow, index)
    if chosen.dim() != 1 or chosen.dtype == torch.bool:
        raise Refused(f"`{node.name}` picks by more than a list of places")
    return axis, chosen.long() % sizes[axis]


def _repeated(node: fx.Node, sizes: Sequence[int]) -> list[Places]:
    """Axes along which all elements are there several times, or the one element is."""
    result = shape(node)
    sizes = (1,) * (len(result) - len(sizes)) + tuple(sizes)
    return [
        (axis, torch.arange(before).repeat(after // before))
        for axis, (before, after) in enumerate(zip(sizes, result, strict=True))
        if before != after and before
    ]


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, Sequence) else [value]


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise Refused("a place that elements are picked from is not a known number")
    return value
