"""An output in parts of like magnitude: beside one huge column or fill value, the error of all others would vanish."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from normfix.proof.measure import Outputs

_APART = 20
"""Elements with no magnitude between them over so many powers of two are not of one kind: fills of masks, say."""
_STEP = 10
"""Columns and channels are judged beside those up to so many powers of two larger or smaller."""
_LOWEST = 1100
"""No float64 is smaller than two to the minus this."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some elements of one output."""

    output: int
    kind: int
    where: Tensor
    size: float


def parts(outputs: Outputs) -> list[Part]:
    """The parts of outputs that fall into several, by value and then by column and by channel; the others are left to
    a look at the whole."""
    return [part for index, output in enumerate(outputs) for part in _parts(index, output)]


def error(part: Part, truth: Outputs, other: Outputs) -> float:
    """The relative error of one part. Shapes, and what is not finite, are for the look at the whole."""
    first, second = _comparable(truth[part.output]), _comparable(other[part.output])
    if first.shape != second.shape:
        return 0.0
    difference = (first - second)[part.where].abs()
    return float(difference[difference.isfinite()].amax()) / part.size if difference.isfinite().any() else 0.0


def _parts(index: int, output: Tensor) -> Iterator[Part]:
    if output.numel() < 2 or not (output.is_floating_point() or output.is_complex()):
        return
    sizes = _comparable(output).abs()
    sizes = torch.where(sizes.isfinite(), sizes, torch.zeros_like(sizes))
    powers = torch.frexp(sizes).exponent
    found = torch.bincount((powers[sizes > 0] + _LOWEST).flatten()).nonzero().flatten() - _LOWEST
    if len(found) == 0 or int(found[-1] - found[0]) <= _STEP:
        return
    powers = torch.where(sizes > 0, powers, int(found[0]))
    masks: dict[bytes, Part] = {}
    for number, (low, high) in enumerate(_kinds(found)):
        kind = (powers >= low) & (powers <= high)
        largest = float(sizes[kind].max())
        for axis in {1, sizes.dim() - 1} if sizes.dim() > 1 else {None}:
            for where in _alike(powers, kind, axis):
                size = float(sizes[where].max()) or largest
                masks.setdefault(where.numpy().tobytes(), Part(index, number, where, size))
    if len(masks) > 1:
        yield from masks.values()


def _kinds(powers: Tensor) -> list[tuple[int, int]]:
    """Ranges of powers of two with wide gaps between them."""
    found: list[tuple[int, int]] = []
    for power in powers.tolist():
        if found and power - found[-1][1] <= _APART:
            found[-1] = (found[-1][0], power)
        else:
            found.append((power, power))
    return found


def _alike(powers: Tensor, kind: Tensor, axis: int | None) -> Iterator[Tensor]:
    """Masks of the slices along `axis` that reach like magnitudes."""
    if axis is None:
        yield kind
        return
    lowest = torch.iinfo(powers.dtype).min
    reached = torch.where(kind, powers, lowest)
    for other in sorted({*range(powers.dim())} - {axis}):
        reached = reached.amax(other, keepdim=True)
    largest = int(reached.max())
    steps = torch.where(reached == lowest, -1, (largest - reached) // _STEP)
    for step in torch.unique(steps[steps >= 0]).tolist():
        yield kind & (steps == step)


def _comparable(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor.to(torch.complex128)) if tensor.is_complex() else tensor.double()
