"""What a rewrite returns: the new model, what was changed, what was refused and why, and the proof. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class Equivalence(str, Enum):
    """How far a rewritten model computes the same as the old one."""

    ALWAYS = "always"
    EVAL = "eval only"
    INTERFACE = "interface only"


@dataclass(frozen=True, slots=True)
class Change:
    """One layer that was rewritten: its module path, and what became of it."""

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """One layer that stays: its module path, and the reason in one sentence."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Trial:
    """The numbers of one family of inputs, each a relative error; None where it could not be measured."""

    inputs: str
    formula: float | None
    rounding: float | None
    rewritten: float | None = None
    """The rewritten model in its own dtype, against the old one in float64."""
    exported: float | None = None
    """The old model in ONNX Runtime, against itself in float64."""
    deployed: float | None = None
    """The rewritten model in ONNX Runtime, against the old one in float64."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Does the new model compute what the old one does.

    Each number is a relative error, the worst over all inputs: max abs difference over max abs output.
    """

    holds: bool
    formula: float | None
    """In float64; right and wrong are eleven orders apart there. None where it was not asked for."""
    deployed: float | None
    """In ONNX Runtime; None, with a note, where the model cannot be exported."""
    rounding: float | None
    """The old model's own: in its dtype against float64."""
    notes: tuple[str, ...] = ()
    trials: tuple[Trial, ...] = ()
    level: str = "full"
    """"full", "formula" or "none": how much was asked for."""
    drift: float | None = None
    """How far a swap that keeps the interface only has moved the output."""
    forwards: int = 0
    """How many forward passes of either model it took, those in ONNX Runtime aside."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def _repr_html_(self) -> str | None:
        from normfix.reports.html import notebook

        return notebook.proof(self)

    def __repr__(self) -> str:
        return f"<Proof: {str(self).splitlines()[0]}>"

    def __str__(self) -> str:
        if self.level == "none":
            return f"not proven: {'; '.join(self.notes) or 'no proof was asked for'}"
        parts = [f"{name} {_number(getattr(self, name))}" for name in ("formula", "deployed", "rounding")]
        if self.drift is not None:
            parts[0] = f"interface only, drift {_number(self.drift)}"
        return "\n".join([f"{'proven' if self.holds else 'NOT PROVEN'}: " + ", ".join(parts), *self.notes])


class ProofFailed(Exception):
    """A rewrite does not compute what the old model did; `proof` holds the numbers. Nothing was changed."""

    def __init__(self, message: str, proof: Proof) -> None:
        super().__init__(message)
        self.proof = proof


State = Mapping[str, Any]
"""A state dict: names to tensors."""


@dataclass(slots=True)
class Rewrite:
    """A rewritten copy of a model, with its account. The model that was given is as it was."""

    model: Any
    """A module of the same class; an ExportedProgram where `output="program"` was asked for."""
    applied: Sequence[Change]
    refused: Sequence[Refusal]
    proof: Proof
    equivalence: Equivalence = Equivalence.EVAL
    notes: Sequence[str] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    """The time of each step, all of it: capture; fold, drop or swap; formula (float64); deployed (ONNX Runtime)."""
    migration: Callable[[State], dict[str, Any]] | None = field(default=None, repr=False)

    def migrate(self, state: State) -> dict[str, Any]:
        """The state dict of the old model, turned into one for the new model. `state` is left as it was."""
        if self.migration is None:
            raise ValueError("this rewrite carries no map between state dicts")
        return self.migration(state)

    def as_dict(self) -> dict[str, Any]:
        """`applied`, `refused`, `proof` and `notes` as plain values, ready for JSON."""
        return {
            "applied": [asdict(change) for change in self.applied],
            "refused": [asdict(refusal) for refusal in self.refused],
            "proof": self.proof.as_dict(),
            "equivalence": self.equivalence.value,
            "notes": list(self.notes),
            "seconds": {step: round(value, 3) for step, value in self.seconds.items()},
        }

    def _repr_html_(self) -> str | None:
        from normfix.reports.html import notebook

        return notebook.rewrite(self)

    def __repr__(self) -> str:
        return f"<Rewrite: {len(self.applied)} applied, {len(self.refused)} refused, {str(self.proof).splitlines()[0]}>"

    def __str__(self) -> str:
        count = f"{len(self.applied)} applied, {len(self.refused)} refused ({self.equivalence.value})"
        nothing = [] if self.applied or self.refused else ["the model holds nothing that this rewrite is about"]
        return "\n".join([count, *nothing, *account(self.applied, self.refused), *self.notes, str(self.proof)])


def account(applied: Sequence[Change], refused: Sequence[Refusal] = ()) -> list[str]:
    """A line for each layer: what became of it, or why it stays."""
    width = max(map(len, [*(one.where for one in applied), *(one.where for one in refused)]), default=0)
    lines = [f"  {change.where:<{width}}  {change.what}" for change in applied]
    return lines + [f"  {refusal.where:<{width}}  stays: {refusal.reason}" for refusal in refused]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"
