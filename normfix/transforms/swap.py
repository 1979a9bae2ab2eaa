"""swap: replace the norms of a model by another kind, and lose nothing on the way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from torch import nn

from normfix.errors import Refused, UsageError
from normfix.proof.copying import copied
from normfix.proof.proving import Proving, positional
from normfix.proof.swapped import prove_interface
from normfix.rewrites import Change, Equivalence, Proof, ProofFailed, Refusal, Rewrite
from normfix.transforms import swapping
from normfix.transforms.base import Plan, ReplaceModule, apply
from normfix.transforms.calibrate import calibrate as calibrated
from normfix.transforms.grouping import Groups
from normfix.transforms.guards import gradient_hooks, no_hooks, no_key_hooks, no_parametrization, plain_attributes
from normfix.transforms.laps import Laps
from normfix.transforms.rewriting import clone
from normfix.transforms.shapes import input_shapes

_STALE = "eval output will be wrong: {} the statistics of a new layer"


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
    without it, unless `uncalibrated` says that the statistics of a new layer will do. The copy has parameters of its
    own: an optimizer for it is made after the swap.

    Raises `UsageError`, and `ProofFailed` where the new model does not have the interface of the old one, or is
    another in ONNX Runtime.
    """
    doing = f"swapping norms of `{type(model).__name__}`"
    if to not in swapping.TARGETS:
        raise UsageError(f"{doing}: `{to}` is no kind of norm; expected one of {', '.join(swapping.TARGETS)}")
    if not isinstance(groups, (int, Mapping)) and not callable(groups):
        raise UsageError(f"{doing}: `groups` is {groups!r}; expected a number, a mapping or a function")
    if isinstance(groups, int) and groups < 1:
        raise UsageError(f"{doing}: a group norm has at least one group, not {groups}")
    laps = Laps("swap")
    before = clone(model, "swapping norms of")
    shapes = input_shapes(before, positional(example_inputs), example_kwargs)
    laps.end("capture")
    patterns = [where] if isinstance(where, str) else list(where or ())
    if not patterns:
        raise UsageError(f"{doing}: `where` is empty; expected patterns of module paths")
    plan, level, fresh = _plan(before, to, shapes, patterns, groups, calibrate is not None or uncalibrated)
    new = apply(plan.edits, clone(model, "swapping norms of"))
    if calibrate is not None and fresh:
        missed = calibrated(new, fresh, calibrate)
        plan.notes += [_STALE.format(f"no batch reached `{path}`, which holds") for path in missed]
    elif not plan.applied and not plan.refused:
        asked = "" if patterns == ["*"] else f" that {', '.join(f'`{pattern}`' for pattern in patterns)} names"
        plan.notes.append(f"there is no norm{asked} that could become {to}")
    elif fresh:
        plan.notes.append(_STALE.format("some batch norms hold"))
    plan.notes += [f"the hook on the gradient of `{name}` stays with the given model" for name in gradient_hooks(model)]
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
    kept = plain_attributes(model)
    for path, module, kind in _chosen(model, to, patterns):
        try:
            if id(module) in kept:
                raise Refused(f"`{path}` is also kept in the plain attribute `{kept[id(module)]}`")
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


def _chosen(model: nn.Module, to: str, patterns: list[str]) -> Iterator[tuple[str, nn.Module, str]]:
    """Each norm that one of its names asks for, with its first path and its kind."""
    names: dict[nn.Module, list[str]] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(path)
    for module, paths in names.items():
        kind = swapping.kind_of(module)
        if kind is None or not swapping.is_source(kind, to):
            continue
        if any(fnmatchcase(path, pattern) for path in paths for pattern in patterns):
            yield paths[0], module, kind


def _make(old: nn.Module, path: str, to: str, shape: tuple[int, ...] | None, groups: Groups) -> nn.Module:
    return swapping.make(old, path, to, shape, groups)[0]


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
