"""Mistakes in parts of an output that the look at the whole is blind to, as other parts are far larger."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import torch

from normfix.proof.evidence import FACTOR, FORMULA, TELLING, Evidence, finer, named, ordered
from normfix.proof.measure import order
from normfix.proof.parts import Part, error, parts
from normfix.rewrites import Trial

_COARSE = 1e-4
"""The least rounding that is granted to few elements of an output, which may round exactly by chance."""


def hidden(evidence: Evidence, index: int, dtype: torch.dtype, floor: float) -> Iterator[tuple[Trial, str]]:
    """Mistakes in parts of an output that the look at the whole is blind to, as other parts are far larger."""
    exact, plain, redone = evidence.exact[index], evidence.plain[index], (evidence.redone or [])[index]
    name, found = evidence.families[index].name, parts(exact.outputs)
    if not found or plain.failure or redone.failure or order(exact, redone) is None:
        return
    truth, moved = exact.outputs, ordered(exact, redone, redone).outputs
    if len(moved) != len(truth):
        return
    rounding = [error(part, truth, plain.outputs) for part in found]
    for part, own in zip(found, rounding, strict=True):
        # What cancels to a small number rounds as the large ones do that it came from.
        alike = [(o, r) for o, r in zip(found, rounding, strict=True) if not evidence.rounded or _akin(o, part)]
        conditioned = max(own, *(other * one.size / part.size for one, other in alike))
        measured = error(part, truth, moved)
        if evidence.rounded:  # what is all rounding tells nothing
            allowed = inf if conditioned > TELLING else FACTOR * max(conditioned, _COARSE, floor)
        else:
            allowed = max(FORMULA, FACTOR * finer(dtype) * conditioned)
        if measured > allowed:
            yield Trial(name, measured, own), _blind(name, part, measured, allowed)


def _akin(first: Part, second: Part) -> bool:
    return (first.output, first.kind) == (second.output, second.kind)


def _blind(name: str, part: Part, measured: float, allowed: float) -> str:
    return (
        f"the rewrite is wrong: on {named(name)} the elements of output {part.output} that are at most "
        f"{part.size:.1e}, beside others of another magnitude, differ by {measured:.1e} in float64 "
        f"(at most {allowed:.1e})"
    )
