"""The proof of a swap that changes what a model computes: the interface stays, and the new model deploys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from normfix.proof.evidence import FACTOR, TELLING, named
from normfix.proof.form import differences
from normfix.proof.judge import in_runtime, rounding_of
from normfix.proof.measure import Result, distance
from normfix.rewrites import Proof, Trial


@dataclass(frozen=True, slots=True)
class Observed:
    """What the two models make of one family of inputs."""

    name: str
    old: Result
    new: Result
    exact: Result
    """The new model in float64."""
    shaken: Result
    """The same, of inputs that are off by their own rounding."""
    deployed: Result | None
    """The new model in ONNX Runtime; None where it was not run there."""


def judge_interface(observed: Sequence[Observed], eps: float, notes: Sequence[str], level: str) -> Proof:
    """Shapes, dtypes and finiteness of every output are those of the old model, and the new one in ONNX Runtime is the
    new one in eager mode, up to rounding. `drift` is how far it moved from the old one."""
    account = _Account(eps, list(notes))
    for seen in observed:
        if account.runs(seen.name, seen.old, seen.new):
            account.compare(seen.name, seen.old, seen.new)
            account.look_at_runtime(seen)
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

    def look_at_runtime(self, seen: Observed) -> None:
        """Hold the new model in ONNX Runtime, and its own rounding, against itself in float64."""
        truth, where = seen.exact.outputs, named(seen.name)
        rounding = rounding_of(truth, seen.new)
        telling = rounding <= TELLING
        if seen.deployed is not None and not telling:
            self.told.append(f"ONNX Runtime is not judged on {where}: the new model's own rounding is {rounding:.1e}")
        error = in_runtime(truth, seen.deployed if telling else None, self.told)
        self.trials.append(Trial(seen.name, None, rounding, deployed=error))
        # A norm of constant inputs may round exactly by luck: what its inputs' rounding does to it tells more. Norms of
        # groups round ten times further in ONNX Runtime than in torch; an export that is wrong is off by far more.
        bound = FACTOR * max(rounding, rounding_of(truth, seen.shaken), self.eps)
        if error is None or error <= bound:
            return
        if error <= TELLING:
            self.told.append(f"ONNX Runtime rounds further on {where}: by {error:.1e}")
            return
        self.holds = False
        self.told.append(
            f"the new model differs by {error:.1e} in ONNX Runtime on {where}, which rounding does not explain; "
            '`prove="formula"` leaves ONNX Runtime out'
        )

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
