"""The engine of every transform: copy the model, capture it, plan, apply to the copy, prove."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.nn.parameter import is_lazy

from normfix.errors import UsageError
from normfix.proof.copying import copied
from normfix.proof.elsewhere import Elsewhere
from normfix.proof.inputs import reduced
from normfix.proof.proving import Proving, Seen, positional
from normfix.readers.live.preserve import untouched
from normfix.rewrites import Equivalence, Proof, ProofFailed, Rewrite
from normfix.transforms.base import Plan, apply
from normfix.transforms.flow import Flow, Trace
from normfix.transforms.laps import Laps
from normfix.transforms.nodes import choices
from normfix.transforms.steadiness import Watched, unseen_arguments, watch

Planner = Callable[[Flow, Mapping[str, torch.Tensor]], Plan]
_WRAPPERS = {
    "DataParallel": "pass `model.module`",
    "DistributedDataParallel": "pass `model.module`",
    "FullyShardedDataParallel": "pass the model that it wraps",
    "OptimizedModule": "pass the model that torch.compile was given",
}
_QUANTIZED = (
    "torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.nn.quantized", "torch.ao.nn.qat",
    "torch.ao.nn.intrinsic.qat", "torch.ao.quantization.fake_quantize",
)  # fmt: skip


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
            f"{doing} `{kind}`: `{packed[0]}` is quantized, or prepared for it; rewrite the float model before that"
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
    step: str,
    equivalence: Equivalence,
    prove: str,
    modes: Sequence[bool | None] = (None,),
) -> Rewrite:
    """Rewrite a copy of `model` as `planner` says, and prove it. Raises `ProofFailed`; the model is never touched.

    `modes` are the modes to prove it in, each False (eval), True (train) or None (as the model is); it is captured in
    the first one. `step` is what the planning and the rewriting are called in `Rewrite.seconds`.
    """
    under_way = _Rewriting(model, positional(example_inputs), dict(example_kwargs or {}), doing, step, prove)
    under_way.plan(planner, modes[0])
    proof = under_way.prove_first(modes[0])
    for mode in modes[1:]:
        under_way.prove(mode)
    plan, seconds = under_way.planned, under_way.laps.seconds
    migration = partial(_migrated, model, under_way.trace, planner, under_way.watched.unsteady, plan)
    return Rewrite(under_way.new, plan.applied, plan.refused, proof, equivalence, plan.notes, seconds, migration)


class _Rewriting:
    """One rewrite under way. Each copy of the model is let go as soon as it was observed."""

    trace: Trace
    watched: Watched
    planned: Plan
    new: nn.Module

    def __init__(
        self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], doing: str, step: str, level: str
    ) -> None:
        self._model, self._args, self._kwargs = model, args, kwargs
        self._doing, self._level = doing, level
        self._captures: list[tuple[nn.Module, ExportedProgram]] = []
        """The copy that was captured, and its program, until a proof has used them."""
        self._step = step
        self.laps = Laps(step)

    def plan(self, planner: Planner, mode: bool | None) -> None:
        """Capture a copy in this mode, plan, and carry the plan out on another copy."""
        before = self._copy(mode)
        program = capture(before, self._args, self._kwargs, self._doing)
        self.laps.end("capture")
        self.trace = Trace.of(program)
        trains = any(module.training for module in before.modules())
        cut, together = self._level != "full" and not trains, self._level == "formula" and not trains
        self.watched = watch(before, self._args, self._kwargs, cut=cut, together=together)
        self.planned = planner(Flow(before, self.trace, self.watched.unsteady), state_of(before))
        self.planned.notes += unseen_arguments(before, self._args, self._kwargs)
        self._captures.append((before, program))
        self.new = self._redo(self._copy())
        self.laps.end(self._step)

    def prove_first(self, mode: bool | None) -> Proof:
        """The proof in the mode that was captured: the made inputs in few batches first, where that may hold."""
        seen = self.watched.seen
        proof, notes = self._proof(mode, seen)
        if seen.together and not proof.holds:
            given = {"given": seen.known["given"]}
            proof, notes = self._proof(mode, replace(seen, known=given, cut=None, together=False))
        self._require(proof, mode)
        self.planned.notes += notes if self.planned.edits and proof.holds else []
        return proof

    def prove(self, mode: bool | None) -> None:
        """Prove it in one more mode."""
        self._require(self._proof(mode)[0], mode)

    def _proof(self, mode: bool | None, seen: Seen | None = None) -> tuple[Proof, list[str]]:
        """The proof in one mode, and notes of what it saw besides."""
        level = "formula" if mode is True and self._level != "none" else self._level
        image = reduced(self._args, self._kwargs) if seen is not None else None
        elsewhere = None if seen is None or image is None else Elsewhere(image, seen.cut)
        proving = Proving(self._args, self._kwargs, level, seen=seen, elsewhere=elsewhere)
        old, exported = self._captures.pop() if self._captures else (self._copy(mode), None)
        proving.old(old, exported, self._redo)
        del old, exported
        with untouched(self.new, keep_buffers=True):
            proving.new(self.new, mode)
        proof = proving.judge()
        self.laps.end("formula", proving.deployed)
        return proof, [] if elsewhere is None else elsewhere.notes()

    def _copy(self, mode: bool | None = None) -> nn.Module:
        return in_mode(clone(self._model, self._doing), mode)

    def _redo(self, model: nn.Module) -> nn.Module:
        """Carry the plan out on a copy, in the dtype that it has."""
        return apply(self.planned.edits, model)

    def _require(self, proof: Proof, mode: bool | None) -> None:
        if proof.holds or proof.level == "none":
            return
        where = {True: " in train mode", False: " in eval mode", None: ""}[mode]
        told = [*proof.notes, *choices(self.trace.graph)]
        raise ProofFailed(f"{self._doing} `{type(self._model).__name__}`{where}: {'; '.join(told)}", proof)


def in_mode(model: nn.Module, mode: bool | None) -> nn.Module:
    """The model in eval (False) or train mode (True), or as it is (None)."""
    return model if mode is None else model.train(mode)


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter and buffer under every name that it has, those that a state dict leaves out too."""
    return {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers(remove_duplicate=False))}


def _migrated(
    model: nn.Module,
    trace: Trace,
    planner: Planner,
    unsteady: Mapping[str, str],
    done: Plan,
    old: Mapping[str, Any],
) -> dict[str, Any]:
    """An old state dict as the new model takes it. Raises `UsageError` where its weights ask for another rewrite."""
    fresh = clone(model, "migrating a state dict of")
    fresh.load_state_dict(dict(old))
    plan = planner(Flow(fresh, trace, unsteady), state_of(fresh))
    lost = {change.where for change in done.applied} - {change.where for change in plan.applied}
    if lost:
        reason = next((one.reason for one in plan.refused if one.where in lost), f"`{min(lost)}` would stay")
        raise UsageError(f"migrating: with these weights the rewrite would be another one: {reason}")
    return dict(apply(plan.edits, fresh).state_dict())
