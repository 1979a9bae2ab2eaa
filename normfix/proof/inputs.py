"""Families of inputs: the ones that were given, and others of the same shapes that a wrong rewrite cannot hide from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

_SEED = 20
_SIDES = {4: 64, 5: 16}
"""By rank: so long are the sides of images and volumes where they are cut."""

_LITTLE = 2**19
"""So many numbers are few in a batch of a size that was not given: three colour images of 224 pixels a side."""

Inputs = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments."""


@dataclass(frozen=True, slots=True)
class Family:
    """One set of inputs for a model."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    deployable: bool = True
    """Has it the shapes that the model was exported with."""
    batch: int = 0
    """The batch size that it is there to try; 0 where it is there for its values."""


def families(args: Sequence[Any], kwargs: Mapping[str, Any], cut: Inputs | None = None) -> list[Family]:
    """The given inputs, normal, uniform, large, tiny and constant ones, and the given ones in other batch sizes.
    All but the first have the shapes of `cut`, where there is one. The global random state is not used."""
    made = [Family("given", tuple(args), dict(kwargs))]
    fixed = cut is None
    args, kwargs = cut or (args, kwargs)
    for seed, (name, fill) in enumerate(_FILLS.items(), start=_SEED):
        generator = torch.Generator().manual_seed(seed)

        def change(value: Any, fill: _Fill = fill, generator: torch.Generator = generator) -> Any:
            return _changed(value, fill, generator) if isinstance(value, Tensor) else value

        made.append(Family(name, tree_map(change, tuple(args)), tree_map(change, dict(kwargs)), fixed))
    return made + batches(args, kwargs)


def shaken(family: Family, eps: float) -> Inputs:
    """The inputs of a family, each number in float64 and off by about `eps` of itself. The global random state is not
    used."""
    generator = torch.Generator().manual_seed(_SEED)

    def shake(value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        wide = value.detach().cpu().double()
        return (wide * (1 + eps * _normal(wide, generator))).to(value.device)

    return tree_map(shake, family.args), tree_map(shake, dict(family.kwargs))


def smaller(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Inputs | None:
    """The given inputs, images cut to 64 pixels a side, volumes to 16, and batches to two samples; None where that
    changes nothing. A wrong rewrite shows in a part of an image as it does in the whole."""
    given = (tuple(args), dict(kwargs))
    size = next((len(leaf) for leaf in tree_leaves(given) if _has_batch(leaf)), 0)

    def cut(value: Tensor) -> Tensor:
        value = _shortened(value)
        return value[:2] if _has_batch(value) and len(value) == size else value

    return _of_other_shapes(given, cut)


def reduced(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Inputs | None:
    """The given inputs with images and volumes of half their sides, or less; None where there are none. A forward may
    look at the size of its input."""
    return _of_other_shapes((tuple(args), dict(kwargs)), partial(_shortened, parts=2))


def _shortened(value: Tensor, parts: int = 1) -> Tensor:
    """An image or volume with one of so many parts of each side, rounded up, and no longer than `_SIDES` says."""
    for axis in range(2, value.dim() if value.dim() in _SIDES else 0):
        value = value.narrow(axis, 0, min(_SIDES[value.dim()], -(-value.shape[axis] // parts)))
    return value.contiguous()


def _of_other_shapes(given: Inputs, change: Callable[[Tensor], Tensor]) -> Inputs | None:
    """The inputs with changed tensors; None where all shapes stay."""
    made: Inputs = tree_map(lambda value: change(value) if isinstance(value, Tensor) else value, given)
    same = all(a.shape == b.shape for a, b in zip(_tensors(given), _tensors(made), strict=True))
    return None if same else made


def is_little(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Are the inputs so few numbers that several of them in one batch cost little memory."""
    return sum(tensor.numel() for tensor in _tensors((tuple(args), dict(kwargs)))) <= _LITTLE


def same_sides(first: Inputs, second: Inputs) -> bool:
    """Have two sets of inputs the same shapes but for the batch."""
    return all(a.shape[1:] == b.shape[1:] for a, b in zip(_tensors(first), _tensors(second), strict=True))


def _tensors(inputs: Inputs) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)]


def batches(args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Family]:
    """The given inputs as batches of other sizes: a forward may look at it."""
    first = next((leaf for leaf in tree_leaves((tuple(args), dict(kwargs))) if _has_batch(leaf)), None)
    if first is None:
        return []
    size = len(first)

    def resized(value: Any, wanted: int) -> Any:
        if not _has_batch(value) or len(value) != size:
            return value
        return torch.cat([value] * -(-wanted // size))[:wanted]

    return [
        Family(
            f"batch of {wanted}",
            tree_map(partial(resized, wanted=wanted), tuple(args)),
            tree_map(partial(resized, wanted=wanted), dict(kwargs)),
            deployable=False,
            batch=wanted,
        )
        for wanted in _other_sizes(size, (tuple(args), dict(kwargs)))
    ]


def _other_sizes(size: int, given: Inputs) -> list[int]:
    """One, and more than one. Where that costs little also more than that, an odd number of them, and twice the given:
    whatever the given one is a multiple of (frames of a clip), that is too."""
    sample = sum(leaf.numel() // size for leaf in _tensors(given) if _has_batch(leaf) and len(leaf) == size)
    more = [3, *[2 * size] * (size > 3)]
    return [wanted for wanted in (1, 2, *more) if wanted != size and (wanted < 3 or wanted * sample <= _LITTLE)]


def _has_batch(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0 and len(value) > 0


_Fill = Callable[[Tensor, torch.Generator], Tensor]


def _changed(value: Tensor, fill: _Fill, generator: torch.Generator) -> Tensor:
    if value.numel() == 0 or value.dtype == torch.bool or value.is_complex() or value.device.type == "meta":
        return value
    if not value.is_floating_point():
        return _integers(value, generator)
    return fill(value.detach().cpu().double(), generator).to(dtype=value.dtype, device=value.device)


def _integers(value: Tensor, generator: torch.Generator) -> Tensor:
    """Integers are indices more often than not: new ones stay within the range of the given ones."""
    low, high = int(value.min()), int(value.max())
    return torch.randint(low, high + 1, value.shape, generator=generator).to(dtype=value.dtype, device=value.device)


def _normal(value: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(value.shape, generator=generator, dtype=torch.float64)


def _uniform(value: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(value.shape, generator=generator, dtype=torch.float64)


def _large(value: Tensor, generator: torch.Generator) -> Tensor:
    return _normal(value, generator) * 100


def _tiny(value: Tensor, generator: torch.Generator) -> Tensor:
    return _normal(value, generator) * 1e-3


def _constant(value: Tensor, generator: torch.Generator) -> Tensor:
    return torch.full_like(value, 0.5)


_FILLS: dict[str, _Fill] = {
    "normal": _normal, "uniform": _uniform, "large": _large, "tiny": _tiny, "constant": _constant,
}  # fmt: skip
