"""affine: the weight and bias of a layer norm or RMS norm go ahead, into the linear layers that read it.

    W (w n(x) + c) + b = W' n(x) + b',   W' = W diag(w),  b' = b + W c

n(x) is the norm with a neutral weight and bias, which stay, since other code may ask for their dtype or device. The
weight is neutral at 1, or at 0 where a class multiplies by 1 + weight: a copy of one that nobody here has read is
tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normfix.errors import Refused
from normfix.proof.copying import copied
from normfix.proof.measure import run_float64
from normfix.rewrites import Change, Refusal
from normfix.transforms import probe
from normfix.transforms.affine import Affine
from normfix.transforms.base import Edit, Plan, SetTensor
from normfix.transforms.flow import Flow
from normfix.transforms.guards import no_hooks, no_parametrization, not_changed_in_place, own_tensor
from normfix.transforms.nodes import shape
from normfix.transforms.reaching import into_layers_ahead
from normfix.transforms.sites import NormCall, calls_of
from normfix.transforms.store import Store

_NAMES = ("LayerNorm", "RMSNorm")
_TENSORS = ("weight", "bias")


@dataclass(frozen=True, slots=True)
class _Neutral:
    """What makes the affine part of a norm vanish: the value of its weight, and the first of the axes that weight and
    bias run along."""

    weight: float
    axis: int

    def scale(self, weight: Tensor) -> Tensor:
        """What a norm with this weight multiplies by."""
        return 1 + weight if self.weight == 0 else weight


def into_readers(flow: Flow, store: Store, done: Plan) -> list[Edit]:
    """Fold what can be folded; `done` takes the account. Returns the edits of the norms themselves."""
    edits: list[Edit] = []
    paths = list(_norms(flow))
    calls = calls_of(flow, paths, uncast=True)
    for path in paths:
        try:
            with store:
                edits_here, change = _ahead(flow, store, path, calls.get(path, []))
        except Refused as refused:
            done.refused.append(Refusal(path, f"the weight of `{path}` stays, since {refused.reason}"))
            continue
        edits += edits_here
        done.applied.append(change)
    return edits


def _norms(flow: Flow) -> Iterator[str]:
    for path, module in flow.model.named_modules():
        known = isinstance(module, (nn.LayerNorm, nn.RMSNorm)) or any(name in type(module).__name__ for name in _NAMES)
        if path and known and any(name in module._parameters for name in _TENSORS) and _held(module):
            yield path


def _held(module: nn.Module) -> list[str]:
    return [name for name in _TENSORS if isinstance(getattr(module, name, None), Tensor)]


def _ahead(flow: Flow, store: Store, path: str, calls: list[NormCall]) -> tuple[list[Edit], Change]:
    if not calls:
        raise Refused("it is not called with these inputs, or not to make one tensor of another")
    module = flow.model.get_submodule(path)
    names = _guarded(flow, module, path)
    neutral = _neutral(path, module, calls)
    values = {name: store.read(flow.aliases[f"{path}.{name}"][0]) for name in names}
    mapped = [(call, _map(neutral, len(shape(call.read)), values)) for call in calls]
    for call in calls:
        not_changed_in_place(flow, call.result)
    layers = into_layers_ahead(flow, store, mapped)
    return _edits(path, values, neutral), Change(path, f"{' and '.join(names)} folded forward into {layers}")


def _guarded(flow: Flow, module: nn.Module, path: str) -> list[str]:
    """The names of its tensors, none of which anybody else may read."""
    if path in flow.unsteady:
        raise Refused(flow.unsteady[path])
    if path in flow.enclosed:
        raise Refused(f"it is called within `{flow.enclosed[path]}`")
    no_hooks(module, path)
    no_parametrization(module, path)
    names = _held(module)
    inside = {node for node in flow.nodes if any(step.path == path for step in flow.steps(node))}
    for name in names:
        own_tensor(flow, flow.aliases[f"{path}.{name}"][0], inside)
    return names


def _neutral(path: str, module: nn.Module, calls: list[NormCall]) -> _Neutral:
    """How this module is made neutral: known of torch's own, tried on a copy of any other. Raises `Refused`."""
    weight = getattr(module, _held(module)[0])
    if probe.is_stock(module):
        return _Neutral(1.0, -weight.dim())
    sizes = shape(calls[0].read)
    candidates = [
        _Neutral(value, axis)
        for axis in (-weight.dim(), 1)
        for value in (1.0, 0.0)
        if len(sizes) >= max(axis + 1, -axis) and sizes[axis] == weight.shape[0]
    ]
    # Weights that are all alike would fit every axis and every formula.
    varied = copied(module).double().cpu()
    for position, name in enumerate(_held(varied)):
        tensor = getattr(varied, name)
        tensor.data = probe.noise(tuple(tensor.shape)) + 0.5 + position
    for neutral in candidates:
        if _explains(neutral, varied, probe.noise(sizes)):
            return neutral
    raise Refused(f"it is a {type(module).__name__}, whose weight does more than multiply")


def _explains(neutral: _Neutral, module: nn.Module, inputs: Tensor) -> bool:
    """Is the module its neutral self, times a scale and plus a shift."""
    bare = copied(module)
    values = {name: getattr(bare, name).detach().clone() for name in _held(bare)}
    for name in values:
        getattr(bare, name).data.fill_(neutral.weight if name == "weight" else 0.0)
    whole, part = (run_float64(copied(one), (inputs,), {}).outputs for one in (module, bare))
    if len(whole) != 1 or len(part) != 1 or whole[0].shape != part[0].shape:
        return False
    affine = _map(neutral, inputs.dim(), values)
    return probe.close(whole[0], affine.scale * part[0] + affine.shift)


def _map(neutral: _Neutral, rank: int, values: dict[str, Tensor]) -> Affine:
    affine = Affine.identity(rank)
    scale, shift = affine.scale, affine.shift
    if "weight" in values:
        scale = _placed(neutral.scale(values["weight"]), neutral.axis, rank)
    if "bias" in values:
        shift = _placed(values["bias"], neutral.axis, rank)
    return Affine(scale, shift)


def _placed(vector: Tensor, axis: int, rank: int) -> Tensor:
    """A tensor of `rank` axes that varies along those from `axis` on."""
    return vector.reshape(*[1] * (axis % rank), *vector.shape, *[1] * (rank - axis % rank - vector.dim()))


def _edits(path: str, values: dict[str, Tensor], neutral: _Neutral) -> list[Edit]:
    fills = {"weight": neutral.weight, "bias": 0.0}
    names = {name: f"{path}.{name}" for name in values}
    return [SetTensor(full, torch.full_like(values[name], fills[name]), full) for name, full in names.items()]
