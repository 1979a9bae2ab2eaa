"""How a norm comes out of a model: what has to hold, and what its class does besides, which is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import fx, nn

from normfix.errors import Refused
from normfix.proof.copying import copied
from normfix.transforms import besides, probe
from normfix.transforms.affine import Affine
from normfix.transforms.base import ReplaceModule
from normfix.transforms.flow import Flow, Step
from normfix.transforms.folded import Folded
from normfix.transforms.guards import no_hooks, no_key_hooks, no_parametrization, not_kept_elsewhere
from normfix.transforms.nodes import shape
from normfix.transforms.sites import Norm, owns, scale_shift
from normfix.transforms.store import Store

_BESIDES = "besides"
"""The name of what a norm's forward does itself, in what stands in its place."""


@dataclass(frozen=True, slots=True)
class Removal:
    """The edit that takes a norm out, and the names of what its class calls besides."""

    edit: ReplaceModule
    keeps: tuple[str, ...]


def removal(flow: Flow, store: Store, norm: Norm) -> Removal:
    """How the norm comes out, what its class does besides being kept. Raises `Refused` where that is unsafe."""
    module = flow.module(norm.path)
    if module is None or (not norm.frozen and not owns(flow, norm.path, norm.node)):
        raise Refused(
            f'`{norm.path}` is a functional call: modules cannot be edited to drop it (ask for output="program" '
            "or --program)"
        )
    if not norm.path:
        raise Refused("the model itself is the norm")
    if norm.path in flow.unsteady:
        raise Refused(flow.unsteady[norm.path])
    if norm.path in flow.enclosed:
        raise Refused(f"`{norm.path}` is called within `{flow.enclosed[norm.path]}` too")
    no_hooks(module, norm.path)
    no_key_hooks(module, norm.path)
    no_parametrization(module, norm.path)
    not_kept_elsewhere(flow, module, norm.path)
    _read_here_only(flow, norm, module)
    kept = _Kept(_children_called(flow, norm), lambda old: dict(old.named_children()))
    if not probe.is_stock(module):
        scale, shift = scale_shift(flow, store.original(), norm)
        kept = _of_class(flow, norm, kept, Affine.along(1, len(shape(norm.calls[0].read)), scale, shift))
    return Removal(ReplaceModule(norm.path, kept.in_place_of), kept.order)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a norm's forward does besides normalising: the names of its parts, in order, and all parts by name."""

    order: tuple[str, ...]
    parts: Callable[[nn.Module], Mapping[str, nn.Module]]

    def in_place_of(self, old: nn.Module) -> Folded:
        """What takes the place of this norm module."""
        return Folded(repr(old).splitlines()[0].rstrip("("), old.training, self.parts(old), self.order)


def _read_here_only(flow: Flow, norm: Norm, module: nn.Module) -> None:
    keys = {step.key for call in norm.calls for step in _own_steps(flow, norm, call.result)}
    for name, _ in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
        full = flow.aliases[f"{norm.path}.{name}"][0]
        for reader in flow.readers_of(full):
            if not any(step.key in keys for step in flow.steps(reader)) and reader.op != "output":
                if _tied_elsewhere(flow, full, norm.path, reader):
                    continue
                raise Refused(f"`{norm.path}.{name}` is also read by {flow.name(reader)}")
            if reader.op == "output":
                raise Refused(f"`{norm.path}.{name}` is an output of the model")


def _tied_elsewhere(flow: Flow, name: str, path: str, reader: fx.Node) -> bool:
    """Is the tensor tied to another module, whose own call reads it: that one keeps it."""
    home = flow.home(reader)
    return home != path and any(alias.rpartition(".")[0] == home for alias in flow.aliases[name])


def _own_steps(flow: Flow, norm: Norm, node: fx.Node) -> list[Step]:
    return [step for step in flow.steps(node) if step.path == norm.path]


def _children_called(flow: Flow, norm: Norm) -> tuple[str, ...]:
    """Names of the norm's own children, in the order in which its forward calls them."""
    keys = {step.key for step in _own_steps(flow, norm, norm.node)[:1]}
    names: dict[str, None] = {}
    for node in flow.nodes:
        steps = flow.steps(node)
        for outer, inner in pairwise(steps):
            if outer.key in keys:
                names[inner.path.rpartition(".")[2]] = None
    return tuple(names)


def _of_class(flow: Flow, norm: Norm, children: _Kept, affine: Affine) -> _Kept:
    """What a norm of an own class does besides: its children, where they are all, or what its forward does itself.
    Raises `Refused` where that cannot be kept."""
    module = flow.model.get_submodule(norm.path)
    more = besides.does_more(flow, norm)  # a limit that no trial reaches is seen in the graph only
    if not more and _explains(norm, module, children.in_place_of(copied(module)), affine):
        return children
    kind = type(module).__name__
    if children.order:
        raise Refused(f"`{norm.path}` is a {kind}, which does more than normalise and call its parts")
    work = besides.after(flow, norm)
    own = _Kept((_BESIDES,), lambda _: {_BESIDES: copied(work)})
    if not _explains(norm, module, own.in_place_of(copied(module)), affine):
        raise Refused(f"`{norm.path}` is a {kind}, which does more than normalise")
    return own


_SIDE = 8
"""A part of an image shows what a norm's class does besides; the proof of the model looks at the whole."""


def _explains(norm: Norm, module: nn.Module, without: nn.Module, affine: Affine) -> bool:
    """Does the norm compute what its map and this module do, whatever the size of the batch."""
    batch, channels, *sides = shape(norm.calls[0].read)
    whole = probe.noise((batch, channels, *(min(side, _SIDE) for side in sides)))
    for inputs in (whole, whole[:1], torch.cat([whole, whole])):
        try:
            before = probe.run(module, inputs)
            after = probe.run(without, affine.scale * inputs + affine.shift)
        except (RuntimeError, TypeError) as error:
            kind = type(module).__name__
            raise Refused(f"`{norm.path}` is a {kind}, which cannot be tried alone: {error}") from error
        if not probe.close(before, after):
            return False
    return True
