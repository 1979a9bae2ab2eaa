"""What was observed of two models, and the bounds that it is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from normfix.proof.form import Form
from normfix.proof.inputs import Family
from normfix.proof.measure import Result, order

FORMULA = 1e-10
"""The largest relative error in float64 of a rewrite that was redone there. Right ones stay near 1e-15."""
FACTOR = 10.0
"""How far a rewritten model may be from the truth, in units of the old model's own rounding."""

TELLING = 1e-2
"""A model whose own rounding is coarser than this, on some family of inputs, is chaotic there: nothing can be told.
Half precision reaches it on no sane model, too."""
EXCUSED = 1e-6
"""A rewrite that is further off in float64 is not excused by how it rounds."""


def named(family: str) -> str:
    """A family of inputs in a sentence: `normal inputs`, `a batch of 2`."""
    return f"a {family}" if family.startswith("batch of") else f"{family} inputs"


@dataclass(slots=True)
class Evidence:
    """Results of every family, by model and dtype; None where a run was not asked for, or not possible."""

    families: Sequence[Family]
    plain: list[Result] = field(default_factory=list)
    """The old model in its own dtype."""
    returned: Form | None = None
    """What the old model returned of the given inputs in its own dtype, apart from the numbers; None where one of the
    two is a file that ONNX Runtime runs, which knows tensors in a row only."""
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


def ordered(exact: Result, redone: Result, result: Result) -> Result:
    """A result of the new model, in the order in which the old one returns the same."""
    places = order(exact, redone)
    if places is None or len(places) != len(result.outputs):
        return result
    return Result([result.outputs[place] for place in places], result.failure)


def finer(dtype: torch.dtype) -> float:
    """How much smaller the rounding of float64 is than that of `dtype`."""
    return torch.finfo(torch.float64).eps / torch.finfo(dtype).eps
