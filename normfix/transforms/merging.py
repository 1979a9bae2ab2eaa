"""merge_branches: convolutions and norms of one input whose results are added become one convolution (RepVGG,
MobileOne, FastViT, RepGhost, RepLKNet). What was merged then gives zero.

A norm becomes a tap at the centre:

    conv(x; W, b) + r (s x + t) = conv(x; W', b + r t),   W'[o, o, centre] = W[o, o, centre] + r s[o]

for a convolution that keeps size and channels: stride 1, an odd kernel k with padding dilation (k - 1) / 2. Zero
padding does no harm, since the tap at the centre never reads it.

A convolution is laid into a larger kernel:

    conv(x; W, b) + r conv(x; V, a) = conv(x; W', b + r a),   W'[o, c, i + j] = W[o, c, i + j] + r V[o, c, j]

for the same stride and groups, where V's dilation is W's (or V is 1x1), and i = (padding of W - padding of V) /
dilation is whole and keeps V within W.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from normfix.errors import Refused
from normfix.rewrites import Change, Refusal
from normfix.transforms.absorb import CONVOLUTIONS, Weights, weights_of
from normfix.transforms.base import Edit, Plan
from normfix.transforms.flow import Flow
from normfix.transforms.guards import no_hooks_on_the_way, not_called_again, not_kept_elsewhere, not_written_between
from normfix.transforms.merged import merged
from normfix.transforms.nodes import argument, operation, source
from normfix.transforms.sites import Norm, NormCall
from normfix.transforms.store import Store
from normfix.transforms.summing import ADDS, Term, is_summed, partners, terms
from normfix.transforms.windows import keeps_size, windows_of


def into_tap(
    flow: Flow, store: Store, norm: Norm, scale: Tensor, shift: Tensor, whole: bool = False
) -> tuple[Edit, str]:
    """Fold a norm into a convolution of the same input that is added to it. Returns the edit that takes the norm out,
    and the path of the convolution; `whole` leaves zeros of full size. Raises `Refused`."""
    if len(norm.calls) != 1:
        raise Refused("it is called more than once")
    call = norm.calls[0]
    reasons: list[str] = []
    for conv, ratio in partners(flow, call.result, call.read):
        try:
            with store:
                layer = _into_centre(flow, store, call, conv, ratio, (scale, shift))
        except Refused as refused:
            reasons.append(refused.reason)
            continue
        rank = CONVOLUTIONS[operation(conv)]
        return merged(flow, call.result, [(1, 1, 0, 1)] * rank, norm.path, whole), layer.path
    raise Refused(reasons[0] if reasons else "no convolution of the same input is added to it")


def _into_centre(
    flow: Flow, store: Store, call: NormCall, conv: fx.Node, ratio: float, mapped: tuple[Tensor, Tensor]
) -> Weights:
    """Add the map of a norm, times the ratio, to the centre of this convolution's kernel."""
    if not keeps_size(conv):
        raise Refused(f"{flow.name(conv)} has no tap at the centre, or gives another size")
    not_called_again(flow, conv)
    not_written_between(flow, call.read, conv, call.result)
    no_hooks_on_the_way(flow, conv, call.result)
    layer = weights_of(flow, [conv])
    weight, bias = layer.read(store)
    scale, shift = mapped
    if weight.shape[0] != len(scale):
        raise Refused(f"{flow.name(conv)} gives other channels")
    layer.write(store, _with_tap(weight, scale * ratio), ratio * shift if bias is None else bias + ratio * shift)
    return layer


def _with_tap(weight: Tensor, tap: Tensor) -> Tensor:
    """The kernel with tap[o] added where output channel o reads input channel o at the centre."""
    new = weight.clone()
    outputs, per_group = weight.shape[:2]
    rows = torch.arange(outputs)
    # As many inputs as outputs: with g groups, o lies in the group that holds input o, at place o mod Ci/g.
    centre: tuple[Any, ...] = tuple(size // 2 for size in weight.shape[2:])
    new[(rows, rows % per_group, *centre)] += tap
    return new


def convolutions(flow: Flow, store: Store, done: Plan, whole: bool = False) -> list[Edit]:
    """Merge what can be merged; `done` takes the account. Returns the edits that put zero where a convolution was,
    zeros of full size for `whole`."""
    edits: list[Edit] = []
    for root in flow.nodes:
        if operation(root) in ADDS and not is_summed(flow, root):
            for first, *others in _groups(_terms(flow, root, done)):
                for other in others:
                    edits += _tried(flow, store, done, first, other, whole)
    return edits


def _tried(flow: Flow, store: Store, done: Plan, first: Term, other: Term, whole: bool) -> list[Edit]:
    path = flow.home(other[0])
    try:
        with store:
            edit = _into_kernel(flow, store, first, other, whole)
    except Refused as refused:
        name = flow.name(other[0])
        refusal = Refusal(path, f"{name} stays beside {flow.name(first[0])}, since {refused.reason}")
        done.refused += [refusal] if refusal not in done.refused else []
        return []
    done.applied.append(Change(path, f"merged into the branch {flow.name(first[0])}"))
    return [edit]


def _terms(flow: Flow, root: fx.Node, done: Plan) -> list[Term]:
    """What this sum adds up; nothing, and a line in the account, where a number that it multiplies by is not known."""
    found: list[Term] = []
    try:
        found += terms(flow, root)  # what comes before a refusal is kept
    except Refused as refused:
        done.refused += [
            Refusal(flow.home(conv), f"{flow.name(conv)} stays as it is, since {refused.reason}") for conv, _ in found
        ]
        return []
    return found


def _groups(found: list[Term]) -> Iterator[list[Term]]:
    """The convolutions of each input, where there are several, the one with the largest kernel first."""
    groups: dict[fx.Node, list[Term]] = {}
    for conv, ratio in found:
        groups.setdefault(source(conv), []).append((conv, ratio))
    for group in groups.values():
        if len(group) > 1:
            yield sorted(group, key=lambda term: -prod(window[0] for window in windows_of(term[0])))


def _into_kernel(flow: Flow, store: Store, first: Term, other: Term, whole: bool) -> Edit:
    (conv, ours), (small, theirs) = first, other
    ratio = theirs / ours
    for one in (conv, small):
        not_called_again(flow, one)
    not_written_between(flow, source(conv), conv, small)
    no_hooks_on_the_way(flow, conv, small)
    layer, gone = weights_of(flow, [conv]), weights_of(flow, [small])
    _may_go(flow, gone.path, small)
    (weight, bias), (inner, added) = layer.read(store), gone.read(store)
    if argument(conv, "groups") != argument(small, "groups") or weight.shape[:2] != inner.shape[:2]:
        raise Refused("its groups are others")
    places = _places(conv, small)
    shift = bias if added is None else ratio * added if bias is None else bias + ratio * added
    layer.write(store, _laid_in(weight, ratio * inner, places), shift)
    return merged(flow, small, windows_of(small), gone.path, whole)


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
