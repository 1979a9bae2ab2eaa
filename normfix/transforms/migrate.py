"""migrate: an old checkpoint, for a model whose norms or biases have changed in the source since.

    conv.bias in the checkpoint, bias=False in the model     running_mean of the norm behind is shifted, the key goes
    running_* in the checkpoint, none in the model's norm    the keys go (GroupNorm and LayerNorm hold no statistics)
    num_batches_tracked in the model only                    zero, as torch does for old checkpoints

Anything else that does not fit is an error: nothing is dropped in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from normfix.errors import UsageError
from normfix.proof.proving import positional
from normfix.rewrites import Change
from normfix.transforms import dropping
from normfix.transforms.base import apply
from normfix.transforms.drop_bias import frozen_norms
from normfix.transforms.flow import Flow, Trace
from normfix.transforms.neighbours import shifted
from normfix.transforms.rewriting import capture, clone, state_of

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_STATELESS = (nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.Identity)


@dataclass(frozen=True, slots=True)
class Migration:
    """A state dict that loads strictly, and what was changed on the way."""

    state: dict[str, Any]
    applied: list[Change] = field(default_factory=list)


def migrate(
    state: Mapping[str, Any],
    like: nn.Module,
    example_inputs: object = None,
    example_kwargs: Mapping[str, Any] | None = None,
) -> Migration:
    """The checkpoint `state` for the model `like`; both are left as they are. Example inputs show which
    running mean a bias moves into; without them only a norm right behind a convolution is recognised. Raises
    `UsageError` for whatever does not fit."""
    new, changes = _without_statistics(dict(state), like)
    wanted = like.state_dict()
    biases = sorted(name for name in new.keys() - wanted.keys() if _lost_its_bias(like, name))
    if biases:
        new, moved = _move_biases(new, like, biases, example_inputs, example_kwargs)
        changes += moved
    for name in sorted(wanted.keys() - new.keys()):
        if name.endswith("num_batches_tracked"):
            new[name] = torch.zeros_like(wanted[name])
    _require_fit(new, wanted)
    return Migration({name: new[name] for name in wanted}, changes)


def _without_statistics(state: dict[str, Any], like: nn.Module) -> tuple[dict[str, Any], list[Change]]:
    modules = dict(like.named_modules(remove_duplicate=False))
    changes: dict[str, Change] = {}
    for name in list(state):
        path, _, leaf = name.rpartition(".")
        if leaf in _STATISTICS and isinstance(modules.get(path), _STATELESS) and name not in like.state_dict():
            del state[name]
            changes[path] = Change(path, f"statistics dropped, since a {type(modules[path]).__name__} keeps none")
    return state, list(changes.values())


def _lost_its_bias(like: nn.Module, name: str) -> bool:
    path, _, leaf = name.rpartition(".")
    module = dict(like.named_modules(remove_duplicate=False)).get(path)
    return leaf == "bias" and isinstance(module, (nn.modules.conv._ConvNd, nn.Linear)) and module.bias is None


def _move_biases(
    state: dict[str, Any], like: nn.Module, biases: list[str], inputs: object, kwargs: Mapping[str, Any] | None
) -> tuple[dict[str, Any], list[Change]]:
    """Give the model its biases back, load the checkpoint, and drop them again."""
    doing = "migrating a checkpoint to"
    frozen = frozen_norms(like)
    old = clone(like, doing).eval()
    if _holds_more(state, like.state_dict()):
        old, inputs, kwargs = old.double(), _wide(positional(inputs)), _wide(dict(kwargs or {}))
    for name in biases:
        layer = old.get_submodule(name.rpartition(".")[0])
        weight = layer.get_parameter("weight")
        layer.register_parameter("bias", nn.Parameter(state[name].detach().clone().to(weight)))
    present = old.state_dict()
    for name in present.keys() - state.keys():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros_like(present[name])
    _require_fit(state, present)
    old.load_state_dict({name: state[name] for name in present})
    if not positional(inputs) and not kwargs:
        return shifted(state, like, biases)
    flow = Flow(old, Trace.of(capture(old, positional(inputs), kwargs, doing)))
    plan = dropping.plan(flow, state_of(old), frozen, {name.rpartition(".")[0] for name in biases})
    stays = {refusal.where: refusal.reason for refusal in plan.refused}
    moved = [old.get_submodule(change.where) for change in plan.applied]
    for name in biases:
        path = name.rpartition(".")[0]
        if not any(old.get_submodule(path) is module for module in moved):
            reason = stays.get(path, f"no norm subtracts the bias of `{path}`")
            raise UsageError(f"{doing} `{type(like).__name__}`: `{name}` cannot go: {reason}")
    before = {name: value.clone() for name, value in _tensors(old.state_dict()).items()}
    apply(plan.edits, old)
    moved_means = {
        name: tensor.to(state[name].dtype)
        for name, tensor in _tensors(old.state_dict()).items()
        if not torch.equal(tensor, before[name])
    }
    return {name: moved_means.get(name, state[name]) for name in old.state_dict()}, plan.applied


def _holds_more(state: Mapping[str, Any], present: Mapping[str, Any]) -> bool:
    """Has a tensor of the checkpoint another dtype than the model, which would round it, or float64."""
    mine = _tensors(present)
    return any(
        tensor.dtype == torch.float64 or tensor.dtype != mine.get(name, tensor).dtype
        for name, tensor in _tensors(state).items()
        if tensor.is_floating_point()
    )


def _tensors(state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Without what modules keep as extra state, which may be anything."""
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


def _wide(value: Any) -> Any:
    """Inputs for a float64 model."""
    if isinstance(value, torch.Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: _wide(item) for key, item in value.items()}
    return type(value)(map(_wide, value)) if isinstance(value, (tuple, list)) else value


def _require_fit(state: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    problems = [f"`{name}` is missing" for name in sorted(wanted.keys() - state.keys())]
    problems += [f"`{name}` has no place" for name in sorted(state.keys() - wanted.keys())]
    problems += [
        f"`{name}` is {tuple(state[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in sorted(_tensors(wanted).keys() & _tensors(state).keys())
        if state[name].shape != wanted[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise UsageError(f"the checkpoint does not fit the model: {', '.join(problems[:5])}{more}")
