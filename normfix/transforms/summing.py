"""merge_branches: convolutions of one input whose results are added become one (RepVGG, MobileOne, RepLKNet).

    conv(x; W, b) + r conv(x; V, a) = conv(x; W', b + r a),   W'[o, c, i + j] = W[o, c, i + j] + r V[o, c, j]

for the same stride and groups, where V's dilation is W's (or V is 1x1), and i = (padding of W - padding of V) /
dilation is whole and keeps V within W. The second convolution then gives zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from torch import Tensor, fx

from normfix.rewrites import Change, Refusal
from normfix.transforms.absorb import layer_of
from normfix.transforms.base import Edit, Plan, Refused
from normfix.transforms.flow import Flow
from normfix.transforms.guards import not_kept_elsewhere
from normfix.transforms.merging import ADDS, merged, terms, windows_of
from normfix.transforms.nodes import argument, operation, source
from normfix.transforms.store import Store

_Term = tuple[fx.Node, float]
"""A convolution, and the number that its result is multiplied by."""


def convolutions(flow: Flow, store: Store, done: Plan) -> list[Edit]:
    """Merge what can be merged; `done` takes the account. Returns the edits that put zero where a convolution was."""
    edits: list[Edit] = []
    for root in flow.nodes:
        if operation(root) in ADDS and not _summed(flow, root):
            for first, *others in _groups(flow, root):
                for other in others:
                    edits += _tried(flow, store, done, first, other)
    return edits


def _tried(flow: Flow, store: Store, done: Plan, first: _Term, other: _Term) -> list[Edit]:
    path = flow.home(other[0])
    try:
        with store:
            edit = _into_kernel(flow, store, first, other)
    except Refused as refused:
        name = flow.name(other[0])
        done.refused.append(Refusal(path, f"{name} stays beside {flow.name(first[0])}, since {refused.reason}"))
        return []
    done.applied.append(Change(path, f"merged into the branch {flow.name(first[0])}"))
    return [edit]


def _summed(flow: Flow, node: fx.Node) -> bool:
    """Is this but a part of a larger sum."""
    readers = flow.readers(node)
    if len(readers) != 1:
        return False
    return operation(readers[0]) in ADDS or (readers[0] in flow.removed and _summed(flow, readers[0]))


def _groups(flow: Flow, root: fx.Node) -> Iterator[list[_Term]]:
    """The convolutions of each input in this sum, where there are several, the one with the largest kernel first."""
    groups: dict[fx.Node, list[_Term]] = {}
    try:
        found = list(terms(flow, root))
    except Refused:  # a summand of no known weight: no layer is to blame
        return
    for conv, ratio in found:
        groups.setdefault(source(conv), []).append((conv, ratio))
    for group in groups.values():
        if len(group) > 1:
            yield sorted(group, key=lambda term: -prod(window[0] for window in windows_of(term[0])))


def _into_kernel(flow: Flow, store: Store, first: _Term, other: _Term) -> Edit:
    (conv, ours), (small, theirs) = first, other
    ratio = theirs / ours
    layer, gone = layer_of(flow, [conv]), layer_of(flow, [small])
    _may_go(flow, gone.path, small)
    (weight, bias), (inner, added) = layer.read(store), gone.read(store)
    if argument(conv, "groups") != argument(small, "groups") or weight.shape[:2] != inner.shape[:2]:
        raise Refused("its groups are others")
    places = _places(conv, small)
    shift = bias if added is None else ratio * added if bias is None else bias + ratio * added
    layer.write(store, _laid_in(weight, ratio * inner, places), shift)
    return merged(flow, small, windows_of(small), gone.path)


def _may_go(flow: Flow, path: str, conv: fx.Node) -> None:
    """The module does nothing but this convolution, and is called nowhere else."""
    if path in flow.unsteady:
        raise Refused(flow.unsteady[path])
    if path in flow.enclosed:
        raise Refused(f"it is called within `{flow.enclosed[path]}` too")
    if any(node is not conv and any(step.path == path for step in flow.steps(node)) for node in flow.nodes):
        raise Refused(f"`{path}` does more than convolve")
    not_kept_elsewhere(flow, flow.model.get_submodule(path), path)


def _places(conv: fx.Node, small: fx.Node) -> list[int]:
    """Where the smaller kernel begins within the larger one, along each axis. Raises `Refused`."""
    found, inner = windows_of(conv), windows_of(small)
    if not found or not inner:
        raise Refused("the padding of one differs between the ends of an axis")
    places = []
    for (size, stride, padding, step), (less, other_stride, other_padding, other_step) in zip(
        found, inner, strict=True
    ):
        if stride != other_stride:
            raise Refused("its stride is another")
        if less > 1 and step != other_step:
            raise Refused("its dilation is another")
        place, rest = divmod(padding - other_padding, step)
        if rest or not 0 <= place <= size - less:
            raise Refused("its kernel does not lie on the taps of the other one")
        places.append(place)
    return places


def _laid_in(weight: Tensor, inner: Tensor, places: list[int]) -> Tensor:
    new = weight.clone()
    part = new
    for axis, place in enumerate(places, start=2):
        part = part.narrow(axis, place, inner.shape[axis])
    part += inner
    return new
