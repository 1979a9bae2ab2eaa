"""Per-channel affine maps, and how they move past operations that only move or average elements.

An `Affine` (s, t) stands for the map x -> s * x + t on one tensor of a graph. s and t are float64 and have as many
axes as the tensor; each axis has size 1 (constant along it) or the size of the tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from normfix.errors import Refused

Shape = Sequence[int]


@dataclass(frozen=True, slots=True)
class Affine:
    """The map x -> scale * x + shift."""

    scale: Tensor
    shift: Tensor

    @classmethod
    def along(cls, axis: int, rank: int, scale: Tensor, shift: Tensor) -> Affine:
        """A map that is given by one vector each, for the axis `axis` of a tensor of `rank` axes."""
        shape = [1] * rank
        shape[axis] = -1
        return cls(scale.double().reshape(shape), shift.double().reshape(shape))

    @classmethod
    def identity(cls, rank: int) -> Affine:
        return cls(torch.ones([1] * rank, dtype=torch.float64), torch.zeros([1] * rank, dtype=torch.float64))

    def vectors(self, axis: int, size: int, what: str) -> tuple[Tensor, Tensor]:
        """Scale and shift as vectors of `size` along `axis`. Raises `Refused` if they vary along another axis."""
        return _vector(self.scale, axis, size, what), _vector(self.shift, axis, size, what)

    def constant_along(self, axes: Sequence[int]) -> bool:
        """Is it the same map everywhere along these axes."""
        return all(part.shape[axis] == 1 for part in (self.scale, self.shift) for axis in axes)

    def equals(self, other: Affine) -> bool:
        """Is it the same map, in the same form."""
        return torch.equal(self.scale, other.scale) and torch.equal(self.shift, other.shift)

    def then(self, other: Affine) -> Affine:
        """This map, and the other one on its result."""
        return Affine(self.scale * other.scale, self.shift * other.scale + other.shift)

    def squeeze(self, axes: Sequence[int]) -> Affine:
        """The same map without these axes, which it does not vary along."""
        return Affine(self.scale.squeeze(list(axes)), self.shift.squeeze(list(axes)))

    def unsqueeze(self, axes: Sequence[int]) -> Affine:
        """The same map with these axes more, given in ascending order."""
        scale, shift = self.scale, self.shift
        for axis in axes:
            scale, shift = scale.unsqueeze(axis), shift.unsqueeze(axis)
        return Affine(scale, shift)

    def permute(self, order: Sequence[int]) -> Affine:
        return Affine(self.scale.permute(*order), self.shift.permute(*order))

    def reshape(self, old: Shape, new: Shape) -> Affine:
        """The same map, seen after a row-major reshape of its tensor from `old` to `new` sizes."""
        return Affine(reshape(self.scale, old, new), reshape(self.shift, old, new))

    def narrow(self, axis: int, start: int, length: int) -> Affine:
        """The part of the map for a slice of its tensor."""
        return Affine(_narrow(self.scale, axis, start, length), _narrow(self.shift, axis, start, length))


def concatenate(parts: Sequence[Affine], axis: int, sizes: Sequence[int]) -> Affine:
    """The map on a concatenation, from the maps on its parts."""
    return Affine(
        _concatenate([part.scale for part in parts], axis, sizes),
        _concatenate([part.shift for part in parts], axis, sizes),
    )


def reshape(part: Tensor, old: Shape, new: Shape) -> Tensor:
    """Reshape a tensor of sizes 1-or-`old` to sizes 1-or-`new`, expanding only the axes that it varies along."""
    if 0 in old:
        raise Refused("a tensor on the way has no elements")
    full: list[int] = []
    sizes: list[int] = []
    for before, after in _blocks(old, new):
        varies = any(part.shape[axis] != 1 for axis in before)
        full += [old[axis] if varies else 1 for axis in before]
        sizes += [new[axis] if varies else 1 for axis in after]
    return _compress(part.expand(full).reshape(sizes))


def _blocks(old: Shape, new: Shape) -> Iterator[tuple[range, range]]:
    """The smallest runs of axes that a reshape maps onto each other."""
    i = j = 0
    while i < len(old) or j < len(new):
        first_i, first_j = i, j
        before = after = 1
        if i < len(old):
            before, i = old[i], i + 1
        if j < len(new):
            after, j = new[j], j + 1
        while before != after:
            if before < after:
                before, i = before * old[i], i + 1
            else:
                after, j = after * new[j], j + 1
        yield range(first_i, i), range(first_j, j)


def _compress(part: Tensor) -> Tensor:
    for axis, size in enumerate(part.shape):
        first = part.narrow(axis, 0, 1)
        if size > 1 and bool((part == first).all()):
            part = first
    return part


def _vector(part: Tensor, axis: int, size: int, what: str) -> Tensor:
    if any(length != 1 for other, length in enumerate(part.shape) if other != axis % part.dim()):
        raise Refused(f"it acts on another axis than the output channels of {what}")
    return part.reshape(-1).expand(size).contiguous()


def _narrow(part: Tensor, axis: int, start: int, length: int) -> Tensor:
    return part if part.shape[axis] == 1 else part.narrow(axis, start, length)


def _concatenate(parts: Sequence[Tensor], axis: int, sizes: Sequence[int]) -> Tensor:
    rank = parts[0].dim()
    common = [max(part.shape[other] for part in parts) for other in range(rank)]
    expanded = []
    for part, size in zip(parts, sizes, strict=True):
        shape = list(common)
        shape[axis] = size
        expanded.append(part.expand(shape))
    return _compress(torch.cat(expanded, axis))
