"""A proof as the page shows it: its verdict, and its numbers on one ruler from 1e-17 to 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from normfix.rewrites import Proof

_LOWEST = -17.0
_MEANINGS = {
    "drift": "how far the output moved: this rewrite keeps the interface only",
    "formula": "the rewrite, redone in float64",
    "deployed": "the new model in ONNX Runtime",
    "rounding": "the old model's own rounding",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """One number of a proof."""

    name: str
    meaning: str
    text: str
    place: float | None
    """From 0 at 1e-17 to 100 at 1; None where it was not measured."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One proof."""

    verdict: str
    style: str
    marks: Sequence[Mark]
    notes: Sequence[str]
    trials: Sequence[Sequence[str]]
    """A row for each family of inputs."""


TRIAL_TITLES = ("inputs", "formula", "rounding", "rewritten", "exported", "deployed")


def shown(proof: Proof) -> Shown:
    """The proof in words and places."""
    verdict, style = ("Proven", "proven") if proof.holds else ("Not proven", "refuted")
    if proof.level == "none":
        verdict, style = "Not proven" if proof.notes else "No proof was asked for", "unproven"
    elif proof.holds and proof.drift is not None:
        verdict, style = "The interface holds, the output moves", "interface"
    left_out = "drift" if proof.drift is None else "formula"
    marks = [_mark(name, getattr(proof, name)) for name in _MEANINGS if name != left_out]
    trials = [[trial.inputs, *(_number(getattr(trial, title)) for title in TRIAL_TITLES[1:])] for trial in proof.trials]
    return Shown(verdict, style, marks, list(proof.notes), trials)


def _mark(name: str, value: float | None) -> Mark:
    return Mark(name, _MEANINGS[name], _number(value), None if value is None else _place(value))


def _place(value: float) -> float:
    if not math.isfinite(value):
        return 100.0
    exponent = math.log10(value) if value > 0 else _LOWEST
    return round(100 * min(max((exponent - _LOWEST) / -_LOWEST, 0.0), 1.0), 1)


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.1e}" if value else "0"
