"""The engine of every transform: copy the model, capture it, plan, apply to the copy, prove."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.nn.parameter import is_lazy

from normfix.errors import UsageError
from normfix.proof.copying import copied
from normfix.proof.inputs import Inputs, smaller
from normfix.proof.measure import Result
from normfix.proof.proving import Proving, positional
from normfix.rewrites import Equivalence, Proof, ProofFailed, Rewrite
from normfix.transforms.base import Plan, apply
from normfix.transforms.flow import Flow, Trace
from normfix.transforms.steadiness import unseen_arguments, watch, wrong_elsewhere

Planner = Callable[[Flow, Mapping[str, torch.Tensor]], Plan]
_WRAPPERS = {
    "DataParallel": "pass `model.module`",
    "DistributedDataParallel": "pass `model.module`",
    "FullyShardedDataParallel": "pass the model that it wraps",
    "OptimizedModule": "pass the model that torch.compile was given",
}
_QUANTIZED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.nn.quantized")


def clone(model: nn.Module, doing: str) -> nn.Module:
    """A deep copy. Raises `UsageError` for what is no plain module, or cannot be copied."""
    kind = type(model).__name__
    if not isinstance(model, nn.Module):
        raise UsageError(f"{doing}: expected a torch.nn.Module, got {kind}")
    if isinstance(model, torch.jit.ScriptModule):
        raise UsageError(f"{doing} `{kind}`: a TorchScript module cannot be rewritten; pass the model it was made of")
    if kind in _WRAPPERS:
        raise UsageError(f"{doing} `{kind}`: it wraps another model; {_WRAPPERS[kind]}")
    packed = [name for name, part in model.named_modules() if type(part).__module__.startswith(_QUANTIZED)]
    if packed:
        raise UsageError(
            f"{doing} `{kind}`: `{packed[0]}` is quantized; rewrite the float model before it is quantized"
        )
    lazy = [name for name, tensor in state_of(model).items() if is_lazy(tensor)]
    if lazy:
        raise UsageError(f"{doing} `{kind}`: `{lazy[0]}` is lazy; run one batch through the model first")
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
    modes: Sequence[bool | None] = (None,),
) -> Rewrite:
    """Rewrite a copy of `model` as `planner` says, and prove it. Raises `ProofFailed`; the model is never touched.

    `modes` are the modes to prove it in, each False (eval), True (train) or None (as the model is); it is captured in
    the first one.
    """
    start = time.perf_counter()
    before = in_mode(clone(model, doing), modes[0])
    program = capture(before, positional(example_inputs), example_kwargs, doing)
    captured = time.perf_counter()
    trace = Trace.of(program)
    args, kwargs = positional(example_inputs), dict(example_kwargs or {})
    trains = any(module.training for module in before.modules())
    seen = watch(before, args, kwargs, cut=prove != "full" and not trains)
    plan = planner(Flow(before, trace, seen.unsteady), state_of(before))
    plan.notes += unseen_arguments(before, args, kwargs)
    planned = time.perf_counter()
    new = apply(plan.edits, clone(model, doing))
    seconds = {"capture": captured - start, "plan": planned - captured}
    captures = [(before, program)]
    del before, program  # each copy of the model is let go as soon as it was observed

    def proven(mode: bool | None, cut: Inputs | None, known: Result | None, together: bool = False) -> Proof:
        level = prove if mode is not True or prove == "none" else "formula"
        proving = Proving(args, kwargs, level, cut=cut, known=known, together=together)
        old, exported = captures.pop() if captures else (in_mode(clone(model, doing), mode), None)
        proving.old(old, exported, lambda wide: apply(plan.edits, wide))
        del old, exported
        proving.new(new, mode)
        seconds.update({step: seconds.get(step, 0.0) + value for step, value in proving.seconds.items()})
        return proving.judge()

    quick = prove == "formula" and not trains and (seen.cut is not None or smaller(args, kwargs) is None)
    proofs = [proven(modes[0], seen.cut, seen.result, quick)]
    if quick and not proofs[0].holds:
        proofs = [proven(modes[0], None, seen.result)]
    _require(proofs[0], modes[0], f"{doing} `{type(model).__name__}`")
    if plan.edits and proofs[0].holds:
        copy = in_mode(clone(model, doing), modes[0])
        plan.notes += wrong_elsewhere(copy, lambda wide: apply(plan.edits, wide), args, kwargs)
    for mode in modes[1:]:
        proofs.append(proven(mode, None, None))
        _require(proofs[-1], mode, f"{doing} `{type(model).__name__}`")
    migration = _migration(model, trace, planner, seen.unsteady, plan)
    return Rewrite(new, plan.applied, plan.refused, proofs[0], equivalence, plan.notes, seconds, migration)


def in_mode(model: nn.Module, mode: bool | None) -> nn.Module:
    """The model in eval (False) or train mode (True), or as it is (None)."""
    return model if mode is None else model.train(mode)


def _require(proof: Proof, mode: bool | None, doing: str) -> None:
    if proof.holds or proof.level == "none":
        return
    where = {True: " in train mode", False: " in eval mode", None: ""}[mode]
    raise ProofFailed(f"{doing}{where}: {'; '.join(proof.notes)}", proof)


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter and buffer under every name that it has, those that a state dict leaves out too."""
    return {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers(remove_duplicate=False))}


def _migration(
    model: nn.Module, trace: Trace, planner: Planner, varying: Mapping[str, str], done: Plan
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    def migrate(old: Mapping[str, Any]) -> dict[str, Any]:
        fresh = clone(model, "migrating a state dict of")
        fresh.load_state_dict(dict(old))
        plan = planner(Flow(fresh, trace, varying), state_of(fresh))
        lost = {change.where for change in done.applied} - {change.where for change in plan.applied}
        if lost:
            reason = next((one.reason for one in plan.refused if one.where in lost), f"`{min(lost)}` would stay")
            raise UsageError(f"migrating: with these weights the rewrite would be another one: {reason}")
        return dict(apply(plan.edits, fresh).state_dict())

    return migrate
