"""What the numbers say: does the rewrite hold, and if not, is it the rewrite or the export."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from statistics import median

import torch

from normfix.errors import UsageError
from normfix.proof.evidence import EXCUSED, FACTOR, FORMULA, TELLING, Evidence, finer, named, ordered
from normfix.proof.form import differences
from normfix.proof.hidden import hidden
from normfix.proof.measure import Outputs, Result, distance, order, whole_equal
from normfix.rewrites import Proof, Trial

_GRANTED = 100.0
"""How far a rewrite that is exact in float64 may round anyhow, in units of its dtype's eps: an old model that rounds
exactly by luck (a norm of constant inputs) is no measure, and neither is one that sums in a better order."""
_HALF = 1e-4
"""Only models in half precision round more coarsely."""


def judge(
    evidence: Evidence, dtype: torch.dtype, notes: Sequence[str], level: str, formula_bound: float | None
) -> Proof:
    """Hold the numbers against the bounds. `formula_bound` None takes the model's own rounding as the bound of the
    formula too, as it must be where the new model's tensors were rounded already."""
    told = list(notes)
    conditions: dict[str, float] = {}
    tried = [_trial(evidence, index, told, conditions) for index in range(len(evidence.families))]
    trials = [trial for trial in tried if trial is not None]
    if not trials:
        return Proof(False, None, None, None, (*told, "the model ran on none of the inputs"), (), level)
    floor = max(median(trial.rounding or 0.0 for trial in trials), torch.finfo(dtype).eps)
    told += (others := _other_form(evidence))
    holds = not others
    if evidence.rounded and floor > _HALF:
        told.append(f"mistakes below {FACTOR * floor:.0e} cannot be told from its own rounding in {dtype}")
    for trial in trials:
        granted = _granted(trial, dtype, redone=formula_bound is not None)
        bound = max(FACTOR * max(trial.rounding or 0.0, floor), FORMULA, granted)
        # What rounding does to an ill-conditioned model in its own dtype, it does in float64 on a smaller scale.
        wide = FACTOR * max(trial.rounding or 0.0, conditions[trial.inputs]) * finer(dtype)
        holds &= _holds(trial, bound, bound if formula_bound is None else max(formula_bound, wide), told)
    told_of = [index for index, trial in enumerate(tried) if trial is not None]
    overlooked = [found for index in told_of for found in hidden(evidence, index, dtype, floor)]
    for trial, text in overlooked if holds else ():
        holds = False
        told.append(text)
        trials.append(trial)
    return Proof(
        holds,
        _worst(trial.formula for trial in trials),
        _worst(trial.deployed for trial in trials),
        _worst(trial.rounding for trial in trials),
        tuple(dict.fromkeys(told)),
        tuple(trials),
        level,
    )


def _granted(trial: Trial, dtype: torch.dtype, redone: bool) -> float:
    """How far the new model may round although the old one rounds less, since it is the same in float64.

    Of models that were only compared, those in half precision are granted nothing: to drop a cast to float32 is right
    in float64, too."""
    eps = torch.finfo(dtype).eps
    same = trial.formula is not None and trial.formula <= FORMULA and eps < _HALF
    return _GRANTED * eps if redone or same else 0.0


def _other_form(evidence: Evidence) -> list[str]:
    """How the given inputs make the new model return something of another form."""
    after = evidence.rewritten[0]
    return [] if after.failure or not evidence.returned else differences(evidence.returned, after.form)


def _require_dense(outputs: Outputs) -> None:
    found = next((part for part in outputs if part.layout != torch.strided), None)
    if found is not None:
        raise UsageError(f"comparing two models: an output is a tensor of layout {found.layout}, expected a dense one")


def _trial(evidence: Evidence, index: int, told: list[str], conditions: dict[str, float]) -> Trial | None:
    name = evidence.families[index].name
    exact, plain = evidence.exact[index], evidence.plain[index]
    if (exact.failure or plain.failure) and not evidence.families[index].deployable:
        return None  # not every model takes every batch size
    if exact.failure or plain.failure:
        told.append(f"the model does not run on {named(name)}: {exact.failure or plain.failure}")
        return None
    redone, rewritten = (evidence.redone or [])[index], evidence.rewritten[index]
    _require_dense([*exact.outputs, *plain.outputs, *redone.outputs])
    if not any(part.numel() for part in exact.outputs):
        told.append(f"the model gives no numbers on {named(name)}: there is nothing to compare")
        return None
    if name != "given" and not all(bool(part.isfinite().all()) for part in (*exact.outputs, *plain.outputs)):
        told.append(f"left out: the model's output is not finite on {named(name)}")
        return None
    rounding = rounding_of(exact.outputs, plain)
    if name != "given" and rounding > TELLING:
        told.append(f"left out: the model's own rounding is {rounding:.1e} on {named(name)}")
        return None
    if redone.failure or rewritten.failure:
        told.append(f"the rewritten model does not run: {redone.failure or rewritten.failure}")
    truth = exact.outputs
    formula, deployed = _formula(exact, redone, told), (evidence.deployed or {index: None})[index]
    own = 0.0 if evidence.rounded or formula > EXCUSED else rounding_of(redone.outputs, rewritten)
    if name != "given" and own > TELLING:
        told.append(f"left out: the rewritten model's own rounding is {own:.1e} on {named(name)}")
        return None
    conditions[name] = own
    return Trial(
        name,
        formula=formula,
        rounding=rounding,
        rewritten=rounding_of(truth, ordered(exact, redone, rewritten)),
        exported=in_runtime(truth, (evidence.exported or {index: None})[index], told),
        deployed=in_runtime(truth, deployed and ordered(exact, redone, deployed), told),
    )


def _formula(exact: Result, redone: Result, told: list[str]) -> float:
    if order(exact, redone) is None:
        told.append("the two models name their outputs differently")
        return inf
    if not redone.failure and exact.others != redone.others:
        told.append(f"the outputs that are no tensors differ: {_listed(exact)} before, {_listed(redone)} after")
        return inf
    told += [f"an output of class `{kind.__name__}` is not compared" for kind in _classes(exact)]
    found = ordered(exact, redone, redone).outputs
    if not whole_equal(exact.outputs, found):
        told.append("whole numbers or truth values in the output are not the same")
        return inf
    return distance(exact.outputs, found)


def _listed(result: Result) -> str:
    return ", ".join(repr(value) for _, value in result.others) or "none"


def _classes(result: Result) -> list[type]:
    return [value for _, value in result.others if isinstance(value, type)]


def rounding_of(truth: Outputs, result: Result) -> float:
    """How far the floats of a result are from the truth. Whole numbers (indices, counts) jump where floats only round:
    they are judged in float64 alone."""
    if len(truth) != len(result.outputs):
        return distance(truth, result.outputs)
    pairs = [(a, b) for a, b in zip(truth, result.outputs, strict=True) if a.is_floating_point() or a.is_complex()]
    return distance([a for a, _ in pairs], [b for _, b in pairs])


def in_runtime(truth: Outputs, result: Result | None, told: list[str]) -> float | None:
    """How far a result of ONNX Runtime is from the truth; None, and a note, where there is none."""
    if result is None:
        return None
    if result.failure:
        told.append(f"ONNX Runtime does not run the model: {result.failure}")
        return None
    return rounding_of(truth, result)


def _holds(trial: Trial, bound: float, formula_bound: float, told: list[str]) -> bool:
    if trial.formula is not None and trial.formula > formula_bound:
        told.append(
            f"the rewrite is wrong: on {named(trial.inputs)} it differs by {trial.formula:.1e} in float64 "
            f"(at most {formula_bound:.1e})"
        )
        return False
    if trial.rewritten is not None and trial.rewritten > bound:
        told.append(
            f"the rewritten model rounds too far: {trial.rewritten:.1e} on {named(trial.inputs)}, "
            f"where the old one's own rounding is {trial.rounding:.1e}"
        )
        return False
    if trial.exported is not None and trial.exported > bound:
        told.append(
            f"the export is not faithful to this model: in ONNX Runtime it differs by {trial.exported:.1e} on "
            f"{named(trial.inputs)} before any rewrite, so the rewrite is not judged there"
        )
        return True
    if trial.exported is not None and trial.deployed is not None and trial.deployed > bound:
        told.append(
            f"the rewritten model differs by {trial.deployed:.1e} in ONNX Runtime on {named(trial.inputs)}, "
            f"where the old one differs by {trial.exported:.1e}"
        )
        return False
    return True


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
