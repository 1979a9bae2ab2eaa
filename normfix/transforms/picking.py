"""How an affine map moves past operations that pick elements along axes: slices, splits, shuffles, flips and rolls.

    result[.., i, ..] = read[.., chosen[i], ..]

Elements that are not picked keep their values where something else reads them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx

from normfix.transforms.affine import Affine
from normfix.transforms.base import Refused
from normfix.transforms.flow import Flow
from normfix.transforms.nodes import argument, operation, shape, source

SPLITS = frozenset("chunk unsafe_chunk split unsafe_split split_with_sizes tensor_split unbind".split())
_SHUFFLES = frozenset("channel_shuffle native_channel_shuffle".split())
_PARTS = frozenset("slice select".split())
PICKS = _PARTS | _SHUFFLES | {"flip", "roll", "getitem"}
_Pick = tuple[int, Tensor]
"""An axis, and the places along it that are picked, in order."""


def pull_picked(flow: Flow, node: fx.Node, affine: Affine) -> list[tuple[fx.Node, Affine]]:
    read = _read(node)
    picks = _picks(node)
    lost = _dropped(node)
    if lost is not None:
        affine = Affine(affine.scale.unsqueeze(lost), affine.shift.unsqueeze(lost))
    if len(flow.readers(source(node))) == 1 and affine.constant_along([axis for axis, _ in picks]):
        return [(read, affine)]
    for axis, chosen in reversed(picks):
        size = shape(read)[axis]
        affine = Affine(_placed(affine.scale, axis, chosen, size, 1.0), _placed(affine.shift, axis, chosen, size, 0.0))
    return [(read, affine)]


def push_picked(node: fx.Node, affine: Affine) -> Affine:
    for axis, chosen in _picks(node):
        affine = Affine(_choose(affine.scale, axis, chosen), _choose(affine.shift, axis, chosen))
    lost = _dropped(node)
    return affine if lost is None else Affine(affine.scale.squeeze(lost), affine.shift.squeeze(lost))


def read_apart(flow: Flow, node: fx.Node) -> bool:
    """Do all readers pick parts along one axis, no two of them the same place."""
    readers = flow.readers(node)
    if len(readers) < 2 or any(operation(reader) not in _PARTS for reader in readers):
        return False
    picks = [_picks(reader)[0] for reader in readers]
    places = [place for _, chosen in picks for place in chosen.tolist()]
    return len({axis for axis, _ in picks}) == 1 and len(set(places)) == len(places)


def _read(node: fx.Node) -> fx.Node:
    """The tensor that is picked from."""
    before = source(node)
    if operation(node) != "getitem":
        return before
    if operation(before) not in SPLITS:
        raise Refused(f"`{before.name}` stands between")
    return source(before)


def _dropped(node: fx.Node) -> int | None:
    """The axis that the result has lost."""
    if operation(node) == "select" or (operation(node) == "getitem" and operation(source(node)) == "unbind"):
        return _picks(node)[0][0]
    return None


def _picks(node: fx.Node) -> list[_Pick]:
    sizes, name = shape(_read(node)), operation(node)
    if name == "getitem":
        return [_part(node)]
    if name in _SHUFFLES:
        order = torch.arange(sizes[1]).view(_whole(argument(node, "groups")), -1)
        return [(1, order.t().reshape(-1))]
    if name in ("flip", "roll"):
        axes = [_whole(axis) % len(sizes) for axis in _list(argument(node, "dims"))]
        if name == "flip":
            return [(axis, torch.arange(sizes[axis]).flip(0)) for axis in axes]
        if not axes:
            raise Refused(f"`{node.name}` rolls over the ends of axes")
        shifts = _list(argument(node, "shifts"))
        return [(axis, torch.arange(sizes[axis]).roll(_whole(by))) for axis, by in zip(axes, shifts, strict=True)]
    axis = _whole(argument(node, "dim")) % len(sizes)
    places = torch.arange(sizes[axis])
    if name == "select":
        return [(axis, places[_whole(argument(node, "index"))].reshape(1))]
    ends = [argument(node, part) for part in ("start", "end", "step")]
    return [(axis, places[slice(*(None if end is None else _whole(end) for end in ends))])]


def _part(node: fx.Node) -> _Pick:
    """The places that one of the results of a split holds."""
    split, number = source(node), _whole(node.args[1])
    axis = _whole(argument(split, "dim")) % len(shape(source(split)))
    if operation(split) == "unbind":
        return axis, torch.tensor([number % shape(source(split))[axis]])
    sizes = [int(part.shape[axis]) for part in split.meta["val"]]
    return axis, torch.arange(sum(sizes[:number]), sum(sizes[: number + 1]))


def _placed(part: Tensor, axis: int, chosen: Tensor, size: int, otherwise: float) -> Tensor:
    if part.shape[axis] == 1 and len(chosen) == size:
        return part  # no place is picked twice, so that each is picked once
    sizes = list(part.shape)
    sizes[axis] = len(chosen)
    whole = list(sizes)
    whole[axis] = size
    return part.new_full(whole, otherwise).index_copy_(axis, chosen, part.expand(sizes))


def _choose(part: Tensor, axis: int, chosen: Tensor) -> Tensor:
    return part if part.shape[axis] == 1 else part.index_select(axis, chosen)


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, Sequence) else [value]


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise Refused("a place that elements are picked from is not a known number")
    return value
