"""What the numbers say: does the rewrite hold, and if not, is it the rewrite or the export."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

import torch

from normfix.proof.inputs import Family
from normfix.proof.measure import Result, distance
from normfix.rewrites import Proof, Trial

FORMULA = 1e-10
"""The largest relative error in float64 of a rewrite that was redone there. Right ones stay near 1e-15."""
FACTOR = 10.0
"""How far a rewritten model may be from the truth, in units of the old model's own rounding."""

TELLING = 1e-2
"""A model whose own rounding is coarser than this, on some family of inputs, is chaotic there: nothing can be told.
Half precision reaches it on no sane model, too."""


@dataclass(slots=True)
class Evidence:
    """Results of every family, by model and dtype; None where a run was not asked for, or not possible."""

    families: Sequence[Family]
    plain: list[Result] = field(default_factory=list)
    """The old model in its own dtype."""
    exact: list[Result] = field(default_factory=list)
    """The old model in float64: the truth."""
    redone: list[Result] | None = None
    """The new model in float64."""
    rewritten: list[Result] = field(default_factory=list)
    """The new model in its own dtype."""
    rounded: bool = False
    """Were the new model's tensors rounded to its dtype before they came to float64."""
    exported: Sequence[Result | None] | None = None
    """The old model in ONNX Runtime."""
    deployed: Sequence[Result | None] | None = None
    """The new model in ONNX Runtime."""


def judge(
    evidence: Evidence, dtype: torch.dtype, notes: Sequence[str], level: str, formula_bound: float | None
) -> Proof:
    """Hold the numbers against the bounds. `formula_bound` None takes the model's own rounding as the bound of the
    formula too, as it must be where the new model's tensors were rounded already."""
    told = list(notes)
    tried = [_trial(evidence, index, told) for index in range(len(evidence.families))]
    trials = [trial for trial in tried if trial is not None]
    if not trials:
        return Proof(False, None, None, None, (*told, "the model ran on none of the inputs"), (), level)
    floor = max(median(trial.rounding or 0.0 for trial in trials), torch.finfo(dtype).eps)
    holds = True
    for trial in trials:
        bound = max(FACTOR * max(trial.rounding or 0.0, floor), FORMULA)
        # What rounding does to an ill-conditioned model in its own dtype, it does in float64 on a smaller scale.
        wide = FACTOR * (trial.rounding or 0.0) * torch.finfo(torch.float64).eps / torch.finfo(dtype).eps
        holds &= _holds(trial, bound, bound if formula_bound is None else max(formula_bound, wide), told)
    return Proof(
        holds,
        _worst(trial.formula for trial in trials),
        _worst(trial.deployed for trial in trials),
        _worst(trial.rounding for trial in trials),
        tuple(dict.fromkeys(told)),
        tuple(trials),
        level,
    )


def _trial(evidence: Evidence, index: int, told: list[str]) -> Trial | None:
    name = evidence.families[index].name
    exact, plain = evidence.exact[index], evidence.plain[index]
    if (exact.failure or plain.failure) and not evidence.families[index].deployable:
        return None  # not every model takes every batch size
    if exact.failure or plain.failure:
        told.append(f"the model does not run on {name} inputs: {exact.failure or plain.failure}")
        return None
    if name != "given" and not all(bool(part.isfinite().all()) for part in (*exact.outputs, *plain.outputs)):
        told.append(f"the model's output is not finite on {name} inputs, which were left out")
        return None
    rounding = _rounding(exact.outputs, plain)
    if name != "given" and rounding > TELLING:
        told.append(f"{name} inputs were left out: the model's own rounding there is {rounding:.1e}")
        return None
    redone, rewritten = (evidence.redone or [])[index], evidence.rewritten[index]
    if redone.failure or rewritten.failure:
        told.append(f"the rewritten model does not run: {redone.failure or rewritten.failure}")
    truth = exact.outputs
    return Trial(
        name,
        formula=distance(truth, redone.outputs),
        rounding=rounding,
        rewritten=_rounding(truth, rewritten),
        exported=_optional(truth, evidence.exported, index, told),
        deployed=_optional(truth, evidence.deployed, index, told),
    )


def _rounding(truth: list[torch.Tensor], result: Result) -> float:
    """Whole numbers (indices, counts) jump where floats only round: they are judged in float64 alone."""
    if len(truth) != len(result.outputs):
        return distance(truth, result.outputs)
    pairs = [(a, b) for a, b in zip(truth, result.outputs, strict=True) if a.is_floating_point() or a.is_complex()]
    return distance([a for a, _ in pairs], [b for _, b in pairs])


def _optional(
    truth: list[torch.Tensor], results: Sequence[Result | None] | None, index: int, told: list[str]
) -> float | None:
    result = results[index] if results is not None else None
    if result is None:
        return None
    if result.failure:
        told.append(f"ONNX Runtime does not run the model: {result.failure}")
        return None
    return _rounding(truth, result)


def _holds(trial: Trial, bound: float, formula_bound: float, told: list[str]) -> bool:
    if trial.formula is not None and trial.formula > formula_bound:
        told.append(
            f"the rewrite is wrong: on {trial.inputs} inputs it differs by {trial.formula:.1e} in float64 "
            f"(at most {formula_bound:.1e})"
        )
        return False
    if trial.rewritten is not None and trial.rewritten > bound:
        told.append(
            f"the rewritten model rounds too far: {trial.rewritten:.1e} on {trial.inputs} inputs, "
            f"where the old one's own rounding is {trial.rounding:.1e}"
        )
        return False
    if trial.exported is not None and trial.exported > bound:
        told.append(
            f"the export is not faithful to this model: in ONNX Runtime it differs by {trial.exported:.1e} on "
            f"{trial.inputs} inputs before any rewrite, so the rewrite is not judged there"
        )
        return True
    if trial.exported is not None and trial.deployed is not None and trial.deployed > bound:
        told.append(
            f"the rewritten model differs by {trial.deployed:.1e} in ONNX Runtime on {trial.inputs} inputs, "
            f"where the old one differs by {trial.exported:.1e}"
        )
        return False
    return True


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
