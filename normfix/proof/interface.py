"""The proof of a swap that changes what a model computes: the interface stays, and the new model deploys."""

from __future__ import annotations

from collections.abc import Sequence

from normfix.proof.evidence import FACTOR, TELLING
from normfix.proof.form import differences
from normfix.proof.measure import Result, distance
from normfix.rewrites import Proof, Trial


def judge_interface(
    names: list[str],
    old: list[Result],
    new: list[Result],
    exact: list[Result],
    deployed: Sequence[Result | None] | None,
    eps: float,
    notes: list[str],
    level: str,
) -> Proof:
    """Shapes, dtypes and finiteness of every output are those of the old model, and the new one in ONNX Runtime is the
    new one in eager mode. `drift` is how far it moved from the old one."""
    told = list(notes)
    trials: list[Trial] = []
    drift = 0.0
    holds = True
    for index, name in enumerate(names):
        before, after, truth = old[index], new[index], exact[index]
        if before.failure and name.startswith("batch of"):
            continue  # not every model takes every batch size
        if before.failure:
            told.append(f"the old model does not run on {name} inputs: {before.failure}")
            continue
        if after.failure:
            told.append(f"the new model does not run on {name} inputs: {after.failure}")
            holds = False
            continue
        holds &= _same_interface(name, before, after, told)
        drift = max(drift, distance(before.outputs, after.outputs))
        rounding = distance(truth.outputs, after.outputs)
        ran = deployed[index] if deployed is not None else None
        error = None if ran is None else distance(truth.outputs, ran.outputs)
        if rounding > TELLING:
            told.append(f"{name} inputs tell nothing of ONNX Runtime: the new model's own rounding is {rounding:.1e}")
            continue
        trials.append(Trial(name, None, rounding, deployed=error))
        if error is not None and error > FACTOR * max(rounding, eps):
            told.append(f"ONNX Runtime differs from the new model by {error:.1e} on {name} inputs")
    if not trials:
        return Proof(False, None, None, None, (*told, "the model ran on none of the inputs"), (), level)
    return Proof(
        holds,
        None,
        max((trial.deployed for trial in trials if trial.deployed is not None), default=None),
        max(trial.rounding or 0.0 for trial in trials),
        tuple(dict.fromkeys(told)),
        tuple(trials),
        level,
        drift,
    )


def _same_interface(name: str, before: Result, after: Result, told: list[str]) -> bool:
    if [(t.shape, t.dtype) for t in before.outputs] != [(t.shape, t.dtype) for t in after.outputs]:
        told.append(f"the outputs have other shapes or dtypes on {name} inputs")
        return False
    if nested := differences(before.form, after.form):
        told += nested
        return False
    finite = all(bool(t.isfinite().all()) for t in before.outputs)
    if finite and not all(bool(t.isfinite().all()) for t in after.outputs):
        told.append(f"the new model's output is not finite on {name} inputs")
        return False
    return True
