"""The proof of a swap that changes what a model computes: the interface stays, and the new model deploys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from normfix.proof.evidence import FACTOR, TELLING, named
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
    account = _Account(eps, list(notes))
    for index, name in enumerate(names):
        before, after = old[index], new[index]
        if account.runs(name, before, after):
            account.compare(name, before, after)
            account.look_at_runtime(name, after, exact[index], deployed[index] if deployed is not None else None)
    return account.proof(level)


@dataclass(slots=True)
class _Account:
    """What the families of inputs that were looked at so far tell."""

    eps: float
    told: list[str]
    trials: list[Trial] = field(default_factory=list)
    drift: float = 0.0
    holds: bool = True

    def runs(self, name: str, before: Result, after: Result) -> bool:
        """Do both models run on this family."""
        if before.failure and name.startswith("batch of"):
            return False  # not every model takes every batch size
        if before.failure:
            self.told.append(f"the old model does not run on {named(name)}: {before.failure}")
            return False
        if after.failure:
            self.told.append(f"the new model does not run on {named(name)}: {after.failure}")
            self.holds = False
        return not after.failure

    def compare(self, name: str, before: Result, after: Result) -> None:
        """Hold what the two give against each other."""
        self.holds &= _same_interface(name, before, after, self.told)
        self.drift = max(self.drift, distance(before.outputs, after.outputs))

    def look_at_runtime(self, name: str, after: Result, truth: Result, ran: Result | None) -> None:
        """Hold the new model in ONNX Runtime, and its own rounding, against itself in float64."""
        rounding = distance(truth.outputs, after.outputs)
        if rounding > TELLING:
            self.told.append(
                f"ONNX Runtime was not judged on {named(name)}: the new model's own rounding is {rounding:.1e} there"
            )
            return
        error = None if ran is None else distance(truth.outputs, ran.outputs)
        self.trials.append(Trial(name, None, rounding, deployed=error))
        if error is not None and error > FACTOR * max(rounding, self.eps):
            self.told.append(f"ONNX Runtime differs from the new model by {error:.1e} on {named(name)}")

    def proof(self, level: str) -> Proof:
        """The verdict."""
        if not self.trials:
            return Proof(False, None, None, None, (*self.told, "the model ran on none of the inputs"), (), level)
        return Proof(
            self.holds,
            None,
            max((trial.deployed for trial in self.trials if trial.deployed is not None), default=None),
            max(trial.rounding or 0.0 for trial in self.trials),
            tuple(dict.fromkeys(self.told)),
            tuple(self.trials),
            level,
            self.drift,
        )


def _same_interface(name: str, before: Result, after: Result, told: list[str]) -> bool:
    if [(t.shape, t.dtype) for t in before.outputs] != [(t.shape, t.dtype) for t in after.outputs]:
        told.append(f"the outputs have other shapes or dtypes on {named(name)}")
        return False
    if nested := differences(before.form, after.form):
        told += nested
        return False
    finite = all(bool(t.isfinite().all()) for t in before.outputs)
    if finite and not all(bool(t.isfinite().all()) for t in after.outputs):
        told.append(f"the new model's output is not finite on {named(name)}")
        return False
    return True
