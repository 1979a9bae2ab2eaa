"""fold: a batch norm in eval is x -> s x + t per channel, which the layer before it, or after it, can take over.

Pattern: a norm with fixed statistics. Rewrite: the map goes back into the layers whose results it reads (through
operations that only move or average elements), or forward into the layers that read its result; the norm itself is
replaced by an identity that keeps what its class does besides. Equivalence: eval only; the keys of the folded norms
vanish from the state dict, and `bias` keys may appear.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import fx, nn

from normfix.rewrites import Change, Equivalence, Refusal
from normfix.transforms import merging, padding, passes, sites
from normfix.transforms.absorb import CONVOLUTIONS, PRODUCERS, Landing, into_consumer, into_producer
from normfix.transforms.affine import Affine
from normfix.transforms.base import Edit, Plan, Refused, ReplaceModule
from normfix.transforms.flow import Flow, operation, shape
from normfix.transforms.guards import not_changed_in_place
from normfix.transforms.sites import Norm
from normfix.transforms.store import Store

EQUIVALENCE = Equivalence.EVAL
_Stage = Callable[[Flow, Store, Norm], tuple[list[Edit], Change]]
_CONSUMERS = frozenset({*CONVOLUTIONS, "linear"})


def plan(
    flow: Flow, state: Mapping[str, torch.Tensor], merge_branches: bool = False, pad_constants: bool = False
) -> Plan:
    """Work out every fold. Norms are tried again for as long as another one went away, since that may open the way;
    branches are merged last, since a norm behind their sum could not be folded any more."""
    store = Store(state)
    done = Plan()
    removals: list[Edit] = []
    waiting = dict.fromkeys(sites.norms(flow), "")
    stages: list[_Stage] = [_fold, *[_merge] * merge_branches, *[_pad] * pad_constants]
    while any(_round(flow, store, waiting, stage, done, removals) for stage in stages):
        pass
    done.edits = [*store.edits(), *removals]
    done.refused = [Refusal(norm.path, reason) for norm, reason in waiting.items()] + _uncalled(flow)
    return done


def _round(flow: Flow, store: Store, waiting: dict[Norm, str], stage: _Stage, done: Plan, removals: list[Edit]) -> bool:
    """Try every norm that waits. True where one went away."""
    before = len(waiting)
    for norm in list(waiting):
        try:
            with store:
                removal, change = stage(flow, store, norm)
        except Refused as refused:
            if stage is _fold:
                waiting[norm] = refused.reason
            continue
        removals += removal
        done.applied.append(change)
        if stage is _fold:
            flow.removed.update({call.result: call.read for call in norm.calls})
        else:
            flow.closed.update(call.result for call in norm.calls)
        del waiting[norm]
    return len(waiting) < before


def _pad(flow: Flow, store: Store, norm: Norm) -> tuple[list[Edit], Change]:
    scale, shift = sites.scale_shift(flow, store, norm)
    if sites.removal(flow, store, norm).keeps:
        raise Refused(f"`{norm.path}` does more than normalise")
    edits, path = padding.ahead(flow, store, norm, scale, shift)
    return edits, Change(
        norm.path, f"folded forward into `{path}`, its zero padding became a constant for each channel"
    )


def _merge(flow: Flow, store: Store, norm: Norm) -> tuple[list[Edit], Change]:
    scale, shift = sites.scale_shift(flow, store, norm)
    if sites.removal(flow, store, norm).keeps:
        raise Refused(f"`{norm.path}` does more than normalise")
    path = merging.into_branch(flow, store, norm, scale, shift)
    edit = ReplaceModule(norm.path, lambda old: merging.Merged(repr(old).splitlines()[0]))
    return [edit], Change(norm.path, f"merged into the branch `{path}`")


def _fold(flow: Flow, store: Store, norm: Norm) -> tuple[list[Edit], Change]:
    scale, shift = sites.scale_shift(flow, store, norm)
    removal: list[Edit] = [sites.removal(flow, store, norm).edit]
    remark = " (its statistics are those of a new layer)" if sites.untrained(flow, store.original(), norm) else ""
    try:
        with_layers = _back(flow, store, norm, scale, shift)
        return removal, Change(norm.path, f"folded into {with_layers}{remark}")
    except Refused as back:
        try:
            with_layers = _ahead(flow, store, norm, scale, shift)
            return removal, Change(norm.path, f"folded forward into {with_layers}{remark}")
        except Refused as ahead:
            raise Refused(
                f"`{norm.path}` goes neither back, since {back.reason}, nor forward, since {ahead.reason}"
            ) from None


def _back(flow: Flow, store: Store, norm: Norm, scale: torch.Tensor, shift: torch.Tensor) -> str:
    landings: list[Landing] = []
    for call in norm.calls:
        affine = Affine.along(1, len(shape(call.read)), scale, shift)
        landings += _producers(flow, call.read, affine)
    return ", ".join(f"`{into_producer(flow, store, group)}`" for group in _by_layer(flow, landings))


def _producers(flow: Flow, node: fx.Node, affine: Affine) -> list[Landing]:
    """The layers behind this node that would take the map, each with its part of it."""
    flow.only_reader(node)
    if node in flow.closed:
        raise Refused(f"{flow.name(node)} was folded in a way of its own")
    if operation(node) in PRODUCERS and node not in flow.removed:
        return [Landing(node, affine)]
    if node.op == "placeholder":
        raise Refused(f"it reads {flow.name(node)}")
    return [landing for source, part in passes.pull(flow, node, affine) for landing in _producers(flow, source, part)]


def _ahead(flow: Flow, store: Store, norm: Norm, scale: torch.Tensor, shift: torch.Tensor) -> str:
    landings: list[Landing] = []
    for call in norm.calls:
        not_changed_in_place(flow, call.read)
        not_changed_in_place(flow, call.result)
        affine = Affine.along(1, len(shape(call.result)), scale, shift)
        found = _consumers(flow, call.result, affine)
        if len({landing.node for landing in found}) != len(found):
            raise Refused("its result reaches one layer on two ways")
        landings += found
    return ", ".join(f"`{into_consumer(flow, store, group)}`" for group in _by_layer(flow, landings))


def _consumers(flow: Flow, node: fx.Node, affine: Affine) -> list[Landing]:
    """The layers ahead of this node that would take the map."""
    found: list[Landing] = []
    readers = flow.readers(node)
    if not readers:
        raise Refused(f"nothing reads {flow.name(node)}")
    for reader in readers:
        if reader.op == "output":
            raise Refused(f"{flow.name(node)} is an output of the model")
        if operation(reader) in _CONSUMERS and reader not in flow.removed:
            if sum(part is node for part in reader.all_input_nodes) != 1 or reader.args[0] is not node:
                raise Refused(f"{flow.name(reader)} reads it as a weight")
            found.append(Landing(reader, affine))
        else:
            found += _consumers(flow, reader, passes.push(flow, reader, node, affine))
    return found


def _by_layer(flow: Flow, landings: list[Landing]) -> list[list[Landing]]:
    groups: dict[str, list[Landing]] = {}
    for landing in landings:
        weight = landing.node.args[1] if len(landing.node.args) > 1 else None
        groups.setdefault(flow.tensor(weight) or flow.home(landing.node) or landing.node.name, []).append(landing)
    return list(groups.values())


def _uncalled(flow: Flow) -> list[Refusal]:
    """Norms that the captured forward never calls: nobody knows what they would be folded into."""
    called = {path for node in flow.nodes for path in (step.path for step in flow.steps(node))}
    stateful = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
    return [
        Refusal(path, f"`{path}` is never called with these inputs")
        for path, module in flow.model.named_modules()
        if isinstance(module, stateful) and module.track_running_stats and path not in called
    ]
