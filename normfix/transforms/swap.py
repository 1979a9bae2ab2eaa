"""swap: replace the norms of a model by another kind, and lose nothing on the way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from torch import nn

from normfix.errors import UsageError
from normfix.proof.copying import copied
from normfix.proof.proving import Proving, positional
from normfix.proof.swapped import prove_interface
from normfix.rewrites import Change, Equivalence, Proof, ProofFailed, Refusal, Rewrite
from normfix.transforms import swapping
from normfix.transforms.base import Plan, Refused, ReplaceModule, apply
from normfix.transforms.calibrate import calibrate as calibrated
from normfix.transforms.grouping import Groups
from normfix.transforms.guards import no_hooks, no_key_hooks, no_parametrization
from normfix.transforms.laps import Laps
from normfix.transforms.rewriting import clone
from normfix.transforms.shapes import input_shapes


def swap(
    model: nn.Module,
    to: str,
    example_inputs: object = None,
    example_kwargs: Mapping[str, Any] | None = None,
    *,
    where: str | Collection[str] = "*",
    groups: Groups = 32,
    calibrate: Iterable[Any] | None = None,
    uncalibrated: bool = False,
    prove: str = "full",
) -> Rewrite:
    """Replace norms by `to`: "group", "batch", "sync_batch", "instance", "layer" or "frozen_batch", on a copy.

    `where` holds patterns of module paths ("encoder.*"). `groups` is the largest number of groups, or a mapping of
    path patterns to counts, or a function of the channels. Without example inputs, what depends on the rank or the
    size of a norm's input is refused. `calibrate` gives batches for norms that need statistics; they are refused
    without it, unless `uncalibrated` says that the statistics of a new layer will do.

    Raises `UsageError`, and `ProofFailed` where the new model does not have the interface of the old one, or is
    another in ONNX Runtime.
    """
    doing = f"swapping norms of `{type(model).__name__}`"
    if to not in swapping.TARGETS:
        raise UsageError(f"{doing}: `{to}` is no kind of norm; expected one of {', '.join(swapping.TARGETS)}")
    if isinstance(groups, int) and groups < 1:
        raise UsageError(f"{doing}: a group norm has at least one group, not {groups}")
    laps = Laps("swap")
    before = clone(model, "swapping norms of")
    shapes = input_shapes(before, positional(example_inputs), example_kwargs)
    laps.end("capture")
    patterns = [where] if isinstance(where, str) else list(where)
    plan, level, fresh = _plan(before, to, shapes, patterns, groups, calibrate is not None or uncalibrated)
    new = apply(plan.edits, clone(model, "swapping norms of"))
    if calibrate is not None and fresh:
        calibrated(new, fresh, calibrate)
    elif not plan.applied and not plan.refused:
        asked = "" if patterns == ["*"] else f" that {', '.join(f'`{pattern}`' for pattern in patterns)} names"
        plan.notes.append(f"there is no norm{asked} that could become {to}")
    elif fresh:
        plan.notes.append("eval output will be wrong: some batch norms hold the statistics of a new layer")
    laps.end("swap")
    proof, deployed = _prove(before, new, plan, level, example_inputs, example_kwargs, prove)
    laps.end("formula", deployed)
    if not proof.holds and proof.level != "none":
        raise ProofFailed(f"{doing}: {'; '.join(proof.notes)}", proof)
    migration = None if fresh else partial(_migrated, model, plan)
    return Rewrite(new, plan.applied, plan.refused, proof, level, plan.notes, laps.seconds, migration)


def _plan(
    model: nn.Module,
    to: str,
    shapes: Mapping[str, tuple[int, ...]],
    patterns: list[str],
    groups: Groups,
    statistics: bool,
) -> tuple[Plan, Equivalence, list[str]]:
    plan = Plan()
    level = Equivalence.EVAL
    fresh: list[str] = []
    for path, module in model.named_modules():
        kind = swapping.kind_of(module)
        if kind is None or not swapping.is_source(kind, to) or not _matches(path, patterns):
            continue
        try:
            no_hooks(module, path)
            no_key_hooks(module, path)
            no_parametrization(module, path)
            if to == "batch" and kind == "group" and not statistics:
                raise Refused(
                    f"`{path}` keeps no statistics, and a batch norm needs them in eval: give `calibrate=` "
                    "or --calibrate"
                )
            _, what = swapping.make(module, path, to, shapes.get(path), groups)
        except Refused as refused:
            plan.refused.append(Refusal(path, refused.reason))
            continue
        plan.edits.append(ReplaceModule(path, partial(_make, path=path, to=to, shape=shapes.get(path), groups=groups)))
        plan.applied.append(Change(path, what))
        if swapping.equivalence(kind, to) is not Equivalence.EVAL:
            level = Equivalence.INTERFACE
        if to == "batch" and kind == "group":
            fresh.append(path)
    return plan, level, fresh


def _make(old: nn.Module, path: str, to: str, shape: tuple[int, ...] | None, groups: Groups) -> nn.Module:
    return swapping.make(old, path, to, shape, groups)[0]


def _matches(path: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def _prove(
    before: nn.Module,
    new: nn.Module,
    plan: Plan,
    level: Equivalence,
    inputs: object,
    kwargs: Mapping[str, Any] | None,
    prove: str,
) -> tuple[Proof, float]:
    """The proof, and the seconds that ONNX Runtime took of it."""
    if prove == "none" or (not positional(inputs) and not kwargs):
        notes = () if prove == "none" else ("there are no example inputs",)
        return Proof(False, None, None, None, notes, level="none"), 0.0
    if level is Equivalence.INTERFACE:
        return prove_interface(before, new, inputs, kwargs, prove)
    proving = Proving(inputs, kwargs, prove)
    proving.old(before.eval(), None, lambda wide: apply(plan.edits, wide).eval())
    proving.new(copied(new), training=False)
    return proving.judge(), proving.deployed


def _migrated(model: nn.Module, plan: Plan, old: Mapping[str, Any]) -> dict[str, Any]:
    fresh = clone(model, "migrating a state dict of")
    fresh.load_state_dict(dict(old))
    with torch.no_grad():
        return dict(apply(plan.edits, fresh).state_dict())
