"""From a norm to the layers that can take its map: back to the ones whose results it reads, ahead to its readers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from normfix.errors import Refused
from normfix.transforms import passes
from normfix.transforms.absorb import CONVOLUTIONS, PRODUCERS, Landing, into_consumer, into_producer
from normfix.transforms.affine import Affine
from normfix.transforms.flow import Flow
from normfix.transforms.guards import not_changed_in_place
from normfix.transforms.nodes import operation
from normfix.transforms.picking import read_apart
from normfix.transforms.places import EXPANDS
from normfix.transforms.sites import NormCall
from normfix.transforms.store import Store

Mapped = Sequence[tuple[NormCall, Affine]]
"""The calls of one norm, each with the map that it is."""
_CONSUMERS = frozenset({*CONVOLUTIONS, "linear"})


def into_layers_behind(flow: Flow, store: Store, calls: Mapped) -> str:
    """Fold the maps into the layers whose results these calls read. Returns the layers' paths. Raises `Refused`."""
    landings = [landing for call, affine in calls for landing in _producers(flow, call, call.read, affine)]
    return ", ".join(f"`{into_producer(flow, store, group)}`" for group in _by_layer(flow, _joined(landings)))


def into_layers_ahead(flow: Flow, store: Store, calls: Mapped) -> str:
    """Fold the maps into the layers that read the results of these calls. Returns the layers' paths. Raises
    `Refused`."""
    landings: list[Landing] = []
    for call, affine in calls:
        found = _consumers(flow, call.result, affine)
        if len({landing.node for landing in found}) != len(found):
            raise Refused("its result reaches one layer on two ways")
        landings += found
    return ", ".join(f"`{into_consumer(flow, store, group)}`" for group in _by_layer(flow, landings))


def _producers(flow: Flow, call: NormCall, node: fx.Node, affine: Affine) -> list[Landing]:
    """The layers behind this node that would take the map of this call, each with its part of it."""
    if node.op == "placeholder":
        raise Refused(f"it reads {flow.name(node)}")
    if not read_apart(flow, node):
        flow.only_reader(node)
    if operation(node) == "getitem" or operation(node) in EXPANDS:
        not_changed_in_place(flow, call.result)  # torch lets nobody write into one of several views, or elements
    if node in flow.closed:
        raise Refused(f"{flow.name(node)} was folded in a way of its own")
    if operation(node) in PRODUCERS and node not in flow.removed:
        return [Landing(node, affine)]
    pulled = passes.pull(flow, node, affine)
    return [landing for source, part in pulled for landing in _producers(flow, call, source, part)]


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


def _joined(landings: list[Landing]) -> list[Landing]:
    """One map for each node: where several reach it, each maps a part of its own (`read_apart`)."""
    whole: dict[fx.Node, Affine] = {}
    for landing in landings:
        before = whole.get(landing.node)
        whole[landing.node] = landing.affine if before is None else before.then(landing.affine)
    return [Landing(node, affine) for node, affine in whole.items()]


def _by_layer(flow: Flow, landings: list[Landing]) -> list[list[Landing]]:
    groups: dict[str, list[Landing]] = {}
    for landing in landings:
        weight = landing.node.args[1] if len(landing.node.args) > 1 else None
        groups.setdefault(flow.tensor(weight) or flow.home(landing.node) or landing.node.name, []).append(landing)
    return list(groups.values())
