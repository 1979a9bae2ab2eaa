"""The engine of every transform: copy the model, capture it, plan, apply to the copy, prove."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from normfix.errors import UsageError
from normfix.proof.copying import copied
from normfix.proof.proving import Proving, positional
from normfix.rewrites import Equivalence, ProofFailed, Rewrite
from normfix.transforms.base import Plan, apply
from normfix.transforms.flow import Flow, Trace

Planner = Callable[[Flow, Mapping[str, torch.Tensor]], Plan]
_WRAPPERS = {
    "DataParallel": "pass `model.module`",
    "DistributedDataParallel": "pass `model.module`",
    "FullyShardedDataParallel": "pass the model that it wraps",
    "OptimizedModule": "pass the model that torch.compile was given",
}


def clone(model: nn.Module, doing: str) -> nn.Module:
    """A deep copy. Raises `UsageError` for what is no plain module, or cannot be copied."""
    kind = type(model).__name__
    if not isinstance(model, nn.Module):
        raise UsageError(f"{doing}: expected a torch.nn.Module, got {kind}")
    if isinstance(model, torch.jit.ScriptModule):
        raise UsageError(f"{doing} `{kind}`: a TorchScript module cannot be rewritten; pass the model it was made of")
    if kind in _WRAPPERS:
        raise UsageError(f"{doing} `{kind}`: it wraps another model; {_WRAPPERS[kind]}")
    try:
        return copied(model)
    except Exception as error:
        raise UsageError(f"{doing} `{kind}`: the model cannot be copied: {error}") from error


def capture(model: nn.Module, inputs: tuple[Any, ...], kwargs: Mapping[str, Any] | None, doing: str) -> ExportedProgram:
    """The exported program of a model. Raises `UsageError` with the reason where there is none."""
    from normfix.readers.model import capture as read

    if not inputs and not kwargs:
        raise UsageError(f"{doing} `{type(model).__name__}`: example inputs are needed to see what feeds what")
    found = read(model, inputs, dict(kwargs or {}))
    if found.program is None:
        raise UsageError(f"{doing} `{type(model).__name__}`: it cannot be captured: {found.reason}")
    return found.program


def rewrite(
    model: nn.Module,
    planner: Planner,
    example_inputs: object,
    example_kwargs: Mapping[str, Any] | None,
    *,
    doing: str,
    equivalence: Equivalence,
    prove: str,
) -> Rewrite:
    """Rewrite a copy of `model` as `planner` says. Raises `ProofFailed`; the model given is never touched."""
    start = time.perf_counter()
    proving = Proving(example_inputs, example_kwargs, prove)
    before = clone(model, doing)
    program = capture(before, positional(example_inputs), example_kwargs, doing)
    captured = time.perf_counter()
    trace = Trace.of(program)
    plan = planner(Flow(before, trace), state_of(before))
    planned = time.perf_counter()
    proving.old(before, program, lambda wide: apply(plan.edits, wide))
    del before, program
    new = apply(plan.edits, clone(model, doing))
    proving.new(new)
    proof = proving.judge()
    if not proof.holds and prove != "none":
        raise ProofFailed(f"{doing} `{type(model).__name__}`: {'; '.join(proof.notes)}", proof)
    seconds = {"capture": captured - start, "plan": planned - captured, **proving.seconds}
    migration = _migration(model, trace, planner)
    return Rewrite(new, plan.applied, plan.refused, proof, equivalence, plan.notes, seconds, migration)


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter and buffer under every name that it has, those that a state dict leaves out too."""
    return {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers(remove_duplicate=False))}


def _migration(model: nn.Module, trace: Trace, planner: Planner) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    def migrate(old: Mapping[str, Any]) -> dict[str, Any]:
        fresh = clone(model, "migrating a state dict of")
        fresh.load_state_dict(dict(old))
        plan = planner(Flow(fresh, trace), state_of(fresh))
        return dict(apply(plan.edits, fresh).state_dict())

    return migrate
