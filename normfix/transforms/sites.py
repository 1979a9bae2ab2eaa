"""The norms of a captured model that are a fixed affine map per channel: what they compute, and how they come out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn

from normfix.errors import Refused
from normfix.proof.copying import copied
from normfix.transforms import algebra, probe
from normfix.transforms.affine import Affine
from normfix.transforms.flow import Flow
from normfix.transforms.guards import finite
from normfix.transforms.nodes import argument, casts_nothing, operation, shape, source
from normfix.transforms.store import Store

_BUFFERS = frozenset({"running_mean", "running_var"})


@dataclass(frozen=True, slots=True)
class NormCall:
    """One call of a norm: the node that holds its result, and the node that it reads."""

    result: fx.Node
    read: fx.Node


@dataclass(slots=True)
class Norm:
    """One norm module, or one functional call, with all its calls."""

    path: str
    calls: list[NormCall] = field(default_factory=list)
    frozen: bool = False
    """A frozen batch norm, which is made of elementary operations and has no node of its own."""

    @property
    def node(self) -> fx.Node:
        return self.calls[0].result

    def __hash__(self) -> int:
        return id(self)


def norms(flow: Flow) -> list[Norm]:
    """Every batch norm, tracked instance norm and frozen batch norm that is called, in order of the first call."""
    found: dict[str, Norm] = {}
    for node in flow.nodes:
        if operation(node) == "batch_norm" or (operation(node) == "instance_norm" and _tracked(node)):
            home = flow.home(node)
            module = flow.module(home)
            own = module is not None and owns(flow, home, node) and (home or probe.is_stock(module))
            key = home if own else f"{home}.{node.name}".lstrip(".")
            found.setdefault(key, Norm(key)).calls.append(NormCall(node, source(node)))
    for path, calls in _frozen_calls(flow).items():
        found[path] = Norm(path, calls, frozen=True)
    order = {node: position for position, node in enumerate(flow.nodes)}
    return sorted(found.values(), key=lambda norm: order[norm.node])


def scale_shift(flow: Flow, store: Store, norm: Norm) -> tuple[Tensor, Tensor]:
    """s and t of the norm. Raises `Refused` where it does not use fixed statistics, or they are unusable."""
    if norm.frozen:
        return _frozen_scale_shift(flow, store, norm)
    node = norm.node
    if any(_normalises(call.result) for call in norm.calls):
        raise Refused(f"`{norm.path}` normalises with the statistics of its input (train mode, or none are tracked)")
    values = {name: _read(flow, store, norm, name) for name in ("running_mean", "running_var", "weight", "bias")}
    mean, variance = values["running_mean"], values["running_var"]
    if mean is None or variance is None:
        raise Refused(f"`{norm.path}` has no running statistics")
    for name, value in values.items():
        if value is not None:
            finite(value, f"{norm.path}.{name}")
    eps = float(argument(node, "eps"))  # type: ignore[arg-type]  # a number
    if bool((variance + eps <= 0).any()):
        raise Refused(f"`{norm.path}.running_var` plus eps is not positive")
    return algebra.scale_shift(mean, variance, values["weight"], values["bias"], eps)


def untrained(flow: Flow, store: Store, norm: Norm) -> bool:
    """Are the running statistics still those of a new layer."""
    if norm.frozen:
        return False
    mean, variance = (_read(flow, store, norm, name) for name in ("running_mean", "running_var"))
    return mean is not None and variance is not None and not bool(mean.any()) and bool((variance == 1).all())


def owns(flow: Flow, home: str, node: fx.Node) -> bool:
    """Do the statistics that this node reads belong to the module whose forward made it."""
    mean = argument(node, "running_mean")
    if mean is None:
        return probe.is_stock(flow.model.get_submodule(home))
    name = flow.tensor(mean)
    return name is not None and any(
        flow.paths[id(flow.model.get_submodule(alias.rpartition(".")[0]))] == home for alias in flow.aliases[name]
    )


def _tracked(node: fx.Node) -> bool:
    return argument(node, "running_mean") is not None


def _normalises(node: fx.Node) -> bool:
    flag = "training" if operation(node) == "batch_norm" else "use_input_stats"
    return bool(argument(node, flag)) or argument(node, "running_mean") is None


def _read(flow: Flow, store: Store, norm: Norm, name: str) -> Tensor | None:
    value = argument(norm.node, name)
    if value is None:
        added = f"{norm.path}.{name}"
        return store.read(added) if name not in _BUFFERS and store.holds(added) else None
    tensor = flow.tensor(value)
    if tensor is None:
        raise Refused(f"the {name} of `{norm.path}` is computed, not stored")
    return store.read(tensor)


def _frozen_calls(flow: Flow) -> dict[str, list[NormCall]]:
    """Calls of modules that hold a batch norm's four tensors as buffers and whose class says that it is frozen."""
    paths = {
        path
        for path, module in flow.model.named_modules()
        if "FrozenBatchNorm" in type(module).__name__
        and {"weight", "bias", "running_mean", "running_var"} <= dict(module.named_buffers(recurse=False)).keys()
    }
    return calls_of(flow, paths, unless="batch_norm")


def calls_of(flow: Flow, paths: Collection[str], unless: str = "", uncast: bool = False) -> dict[str, list[NormCall]]:
    """All calls of these modules, by path, where each call reads one tensor, gives one, and does no `unless`. With
    `uncast`, others may read what a call reads as what it casts it to, where both are the same tensor."""
    inside: dict[str, list[fx.Node]] = {}
    for node in flow.nodes:
        steps = flow.steps(node)
        if steps and steps[-1].path in paths:
            inside.setdefault(steps[-1].key, []).append(node)
    found: dict[str, list[NormCall]] = {}
    unclear: set[str] = set()
    for nodes in inside.values():
        path = flow.home(nodes[0])
        read = {part for node in nodes for part in node.all_input_nodes if part not in nodes and not flow.tensor(part)}
        results = [node for node in nodes if any(user not in nodes for user in flow.readers(node))]
        results = [node for node in results if not (uncast and node.args[0] in read and casts_nothing(node))]
        if len(read) == 1 and len(results) == 1 and all(operation(node) != unless for node in nodes):
            found.setdefault(path, []).append(NormCall(results[0], read.pop()))
        else:
            unclear.add(path)
    return {path: calls for path, calls in found.items() if path not in unclear}


def _frozen_scale_shift(flow: Flow, store: Store, norm: Norm) -> tuple[Tensor, Tensor]:
    """s and t as the module itself computes them: f(0) = t, f(1) = s + t; random input then confirms it."""
    module = copied(flow.model.get_submodule(norm.path)).double().cpu()
    for name, child in module.named_children():
        setattr(module, name, nn.Identity())
        del child
    for name, buffer in module.named_buffers(recurse=False):
        if buffer.is_floating_point():
            buffer.copy_(store.read(f"{norm.path}.{name}"))
    channels = shape(norm.node)[1]
    sizes = (2, channels, *[3] * (len(shape(norm.node)) - 2))
    zero, one = torch.zeros(sizes, dtype=torch.float64), torch.ones(sizes, dtype=torch.float64)
    inputs = probe.noise(sizes)
    try:
        shift, whole, found = (probe.run(module, tensor) for tensor in (zero, one, inputs))
    except (RuntimeError, TypeError) as error:
        kind = type(module).__name__
        raise Refused(f"`{norm.path}` is a {kind}, which cannot be tried alone: {error}") from error
    scale = whole - shift
    shift, scale = shift[0].reshape(channels, -1)[:, 0], scale[0].reshape(channels, -1)[:, 0]
    finite(scale, f"{norm.path}: the scale")
    affine = Affine.along(1, len(sizes), scale, shift)
    if not probe.close(found, affine.scale * inputs + affine.shift):
        raise Refused(f"`{norm.path}` is a {type(module).__name__}, which does more than scale and shift")
    return scale, shift
