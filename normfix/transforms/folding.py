"""fold: a batch norm in eval is x -> s x + t per channel, which the layer before it, or after it, can take over.

Pattern: a norm with fixed statistics. Rewrite: the map goes back into the layers whose results it reads (through
operations that only move or average elements), or forward into the layers that read its result; the norm itself is
replaced by an identity that keeps what its class does besides. Equivalence: eval only; the keys of the folded norms
vanish from the state dict, and `bias` keys may appear.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial

import torch
from torch import nn

from normfix.errors import Refused
from normfix.rewrites import Change, Equivalence, Refusal
from normfix.transforms import merging, padding, removing, scaling, sites
from normfix.transforms.affine import Affine
from normfix.transforms.base import Edit, Plan
from normfix.transforms.flow import Flow
from normfix.transforms.guards import memory_in_order, not_changed_in_place
from normfix.transforms.nodes import shape
from normfix.transforms.reaching import Mapped, into_layers_ahead, into_layers_behind
from normfix.transforms.sites import Norm
from normfix.transforms.store import Store

EQUIVALENCE = Equivalence.EVAL
_Stage = Callable[[Flow, Store, Norm], tuple[list[Edit], Change]]
_Waiting = dict[Norm, dict[str, str]]
"""Norms that stay so far, each with the reason why each stage left it."""


def plan(
    flow: Flow,
    state: Mapping[str, torch.Tensor],
    merge_branches: bool = False,
    pad_constants: bool = False,
    affine: bool = False,
    whole: bool = False,
) -> Plan:
    """Work out every fold. Norms are tried again for as long as another one went away, since that may open the way;
    branches are merged last, since a norm behind their sum could not be folded any more. `whole` leaves zeros of full
    size where a merged branch was."""
    store = Store(state)
    done = Plan()
    removals: list[Edit] = []
    waiting: _Waiting = {norm: {} for norm in sites.norms(flow)}
    stages: dict[str, _Stage] = {"": _fold}
    stages |= {"it is not merged": partial(_merge, whole=whole)} if merge_branches else {}
    stages |= {"its reader is not padded": _pad} if pad_constants else {}
    while any(_round(flow, store, waiting, stage, done, removals) for stage in stages.items()):
        pass
    done.refused = [Refusal(norm.path, _told(reasons)) for norm, reasons in waiting.items()]
    done.refused += _unseen(flow, {one.where for one in done.applied} | {one.where for one in done.refused})
    if merge_branches:
        removals += merging.convolutions(flow, store, done, whole)
    if affine:
        removals += scaling.into_readers(flow, store, done)
    done.edits = [*store.edits(), *removals]
    return done


def _round(
    flow: Flow, store: Store, waiting: _Waiting, stage: tuple[str, _Stage], done: Plan, removals: list[Edit]
) -> bool:
    """Try every norm that waits. True where one went away."""
    before = len(waiting)
    name, step = stage
    for norm in list(waiting):
        try:
            with store:
                removal, change = step(flow, store, norm)
        except Refused as refused:
            waiting[norm][name] = refused.reason
            continue
        removals += removal
        done.applied.append(change)
        if step is _fold:
            flow.removed.update({call.result: call.read for call in norm.calls})
        else:
            flow.closed.update(call.result for call in norm.calls)
        del waiting[norm]
    return len(waiting) < before


def _told(reasons: Mapping[str, str]) -> str:
    """Why a norm stays, the other ways that were asked for included."""
    first = reasons[""]
    others = [f"; {name}, since {reason}" for name, reason in reasons.items() if name and reason != first]
    return first + "".join(others)


def _pad(flow: Flow, store: Store, norm: Norm) -> tuple[list[Edit], Change]:
    scale, shift = sites.scale_shift(flow, store, norm)
    if removing.removal(flow, store, norm).keeps:
        raise Refused(f"`{norm.path}` does more than normalise")
    edits, path = padding.ahead(flow, store, norm, scale, shift)
    return edits, Change(
        norm.path, f"folded forward into `{path}`, its zero padding became a constant for each channel"
    )


def _merge(flow: Flow, store: Store, norm: Norm, whole: bool) -> tuple[list[Edit], Change]:
    scale, shift = sites.scale_shift(flow, store, norm)
    if removing.removal(flow, store, norm).keeps:
        raise Refused(f"`{norm.path}` does more than normalise")
    edit, path = merging.into_tap(flow, store, norm, scale, shift, whole)
    return [edit], Change(norm.path, f"merged into the branch `{path}`")


def _fold(flow: Flow, store: Store, norm: Norm) -> tuple[list[Edit], Change]:
    scale, shift = sites.scale_shift(flow, store, norm)
    removal: list[Edit] = [removing.removal(flow, store, norm).edit]
    for call in norm.calls:
        memory_in_order(flow, norm.path, call.read, call.result)
    remark = " (its statistics are those of a new layer)" if sites.untrained(flow, store.original(), norm) else ""
    try:
        layers = into_layers_behind(flow, store, _maps(norm, scale, shift))
        return removal, Change(norm.path, f"folded into {layers}{remark}")
    except Refused as back:
        try:
            for call in norm.calls:
                not_changed_in_place(flow, call.read, since=call.result)
                not_changed_in_place(flow, call.result)
            layers = into_layers_ahead(flow, store, _maps(norm, scale, shift))
            return removal, Change(norm.path, f"folded forward into {layers}{remark}")
        except Refused as ahead:
            raise Refused(
                f"`{norm.path}` goes neither back, since {back.reason}, nor forward, since {ahead.reason}"
            ) from None


def _maps(norm: Norm, scale: torch.Tensor, shift: torch.Tensor) -> Mapped:
    return [(call, Affine.along(1, len(shape(call.read)), scale, shift)) for call in norm.calls]


def _unseen(flow: Flow, told: Collection[str]) -> list[Refusal]:
    """Norms that the captured forward never calls, or calls where nothing is moved: nobody knows what to fold into."""
    called = {path for node in flow.nodes for path in (step.path for step in flow.steps(node))}
    stateful = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
    return [
        Refusal(path, f"`{path}` {_where(flow, path)}")
        for path, module in flow.model.named_modules()
        if isinstance(module, stateful) and module.track_running_stats and path not in told
        if path not in called or path in flow.enclosed
    ]


def _where(flow: Flow, path: str) -> str:
    if path in flow.enclosed:
        return f"is called within `{flow.enclosed[path]}`, and nothing is moved out of there"
    return "is never called with these inputs"
