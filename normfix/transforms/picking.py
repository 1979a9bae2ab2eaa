"""How an affine map moves past operations that pick elements along axes: slices, splits, shuffles, flips, rolls and
constant indices, and those that repeat elements.

    result[.., i, ..] = read[.., chosen[i], ..]

Elements that are not picked keep their values where something else reads them.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

from normfix.errors import Refused
from normfix.transforms.affine import Affine
from normfix.transforms.flow import Flow
from normfix.transforms.nodes import operation, shape, source
from normfix.transforms.places import PICKS, Places, dropped, picked_from, places_of

_PARTS = frozenset("slice select narrow index index_select".split())
"""Operations that pick along one axis, and that several of may read one tensor."""


def pull_picked(flow: Flow, node: fx.Node, affine: Affine) -> list[tuple[fx.Node, Affine]]:
    read = picked_from(node)
    places = places_of(flow, node)
    lost = dropped(flow, node)
    affine = affine if lost is None else affine.unsqueeze([lost])
    added = _added(node, read)
    sizes = (1,) * added + shape(read)
    if len(flow.readers(source(node))) != 1 or not affine.constant_along([axis for axis, _ in places]):
        for axis, chosen in reversed(places):
            scale = _placed(node, affine.scale, (axis, chosen), sizes[axis], 1.0)
            shift = _placed(node, affine.shift, (axis, chosen), sizes[axis], 0.0)
            affine = Affine(scale, shift)
    return [(read, affine.squeeze(range(added)))]


def push_picked(flow: Flow, node: fx.Node, read: fx.Node, affine: Affine) -> Affine:
    if picked_from(node) is not read and source(node) is not read:
        raise Refused(f"{flow.name(node)} takes its places from it")
    affine = affine.unsqueeze(range(_added(node, picked_from(node))))
    for axis, chosen in places_of(flow, node):
        affine = Affine(_choose(affine.scale, axis, chosen), _choose(affine.shift, axis, chosen))
    lost = dropped(flow, node)
    return affine if lost is None else affine.squeeze([lost])


def read_apart(flow: Flow, node: fx.Node) -> bool:
    """Do all readers pick parts along one axis, no two of them the same place."""
    readers = flow.readers(node)
    if len(readers) < 2 or any(operation(reader) not in _PARTS or source(reader) is not node for reader in readers):
        return False
    picks = [places_of(flow, reader)[0] for reader in readers]
    places = [place for _, chosen in picks for place in set(chosen.tolist())]
    return len({axis for axis, _ in picks}) == 1 and len(set(places)) == len(places)


def _added(node: fx.Node, read: fx.Node) -> int:
    """How many axes the result has more, all in front."""
    return max(len(shape(node)) - len(shape(read)), 0) if operation(node) in PICKS - {"getitem"} else 0


def _placed(node: fx.Node, part: Tensor, places: Places, size: int, otherwise: float) -> Tensor:
    axis, chosen = places
    if part.shape[axis] == 1 and len(set(chosen.tolist())) == size:
        return part
    sizes = list(part.shape)
    sizes[axis] = len(chosen)
    whole = list(sizes)
    whole[axis] = size
    spread = part.expand(sizes)
    placed = part.new_full(whole, otherwise).index_copy_(axis, chosen, spread)
    if not torch.equal(placed.index_select(axis, chosen), spread):
        raise Refused(f"`{node.name}` holds one channel several times, and the norm scales these differently")
    return placed


def _choose(part: Tensor, axis: int, chosen: Tensor) -> Tensor:
    return part if part.shape[axis] == 1 else part.index_select(axis, chosen)
