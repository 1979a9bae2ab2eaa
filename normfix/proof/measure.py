"""Run a model without leaving a trace, and measure how far two results are apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import keystr, tree_flatten_with_path, tree_leaves, tree_map

from normfix.proof.float64 import InFloat64, widen
from normfix.proof.form import Form, form, has_no_keys, is_empty, places

Outputs = list[Tensor]


@dataclass(frozen=True, slots=True)
class Result:
    """The tensors that a model returned, flattened in order; or why it returned none."""

    outputs: Outputs
    failure: str = ""
    names: tuple[str, ...] = ()
    """Where each tensor stood in what was returned; empty where that is not known."""
    others: tuple[tuple[str, object], ...] = ()
    """What else was returned, by place: text and the like as it is, of any other object its class only."""
    form: Form = field(default_factory=dict)
    """How all that is nested, with dtypes; empty where that is not known."""


def run(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Result:
    """One forward pass in the model's own dtype, on copies of the inputs; the global random state stays."""
    return _guarded(model, args, kwargs)


def run_float64(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Result:
    """One forward pass of a model that is in float64, every cast to a narrower dtype inside it widened too."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with InFloat64():  # type: ignore[no-untyped-call]  # torch leaves its base untyped
            return _guarded(model, tree_map(widen, tuple(args)), tree_map(widen, dict(kwargs)))
    finally:
        torch.set_default_dtype(default)


def _guarded(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Result:
    devices = sorted({part.device.index or 0 for part in model.parameters() if part.device.type == "cuda"})
    args, kwargs = tree_map(_copied, tuple(args)), tree_map(_copied, dict(kwargs))
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            torch.manual_seed(0)
            returned = model(*args, **kwargs)
            tensors = [leaf.detach().cpu().clone() for leaf in leaves(returned)]
            others = tuple(sorted(_others(returned), key=str))
            return Result(tensors, names=tuple(_names(returned)), others=others, form=form(returned))
    except Exception as error:
        return Result([], f"{type(error).__name__}: {_first_line(error)}")


def leaves(value: object) -> Iterator[Tensor]:
    """Every tensor in a nest of containers, dataclasses and numbers, in order."""
    for leaf in tree_leaves(value):
        if isinstance(leaf, Tensor):
            yield leaf
        elif isinstance(leaf, (bool, int, float)):
            yield torch.tensor(leaf)
        elif dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
            yield from leaves([getattr(leaf, field.name) for field in dataclasses.fields(leaf)])


def _names(value: object) -> Iterator[str]:
    for path, leaf in tree_flatten_with_path(value, is_leaf=has_no_keys)[0]:
        inside = sum(1 for _ in leaves([leaf]))
        yield from (keystr(path) + (f"<{index}>" if inside > 1 else "") for index in range(inside))


def _others(value: object) -> Iterator[tuple[str, object]]:
    for place, leaf in places(value):
        bare = is_empty(leaf) and not isinstance(leaf, torch.Size)
        if leaf is not None and not bare and not isinstance(leaf, (Tensor, bool, int, float)):
            yield place, leaf if isinstance(leaf, _PLAIN) else type(leaf)


_PLAIN = (str, bytes, complex, Enum, torch.dtype, torch.device, torch.Size, range, slice)
"""What is compared as it is."""


def order(first: Result, second: Result) -> list[int] | None:
    """The places in `second` of what `first` returned: dicts are the same in any order of their keys. None where their
    keys differ."""
    same = list(range(len(second.outputs)))
    if first.names == second.names or len(first.names) != len(second.names):
        return same
    if sorted(first.names) == sorted(second.names):
        return [second.names.index(name) for name in first.names]
    return None if all(any("['" in name for name in one.names) for one in (first, second)) else same


def whole_equal(first: Outputs, second: Outputs) -> bool:
    """Are whole numbers and truth values the same; they are not a matter of rounding."""
    pairs = [(a, b) for a, b in zip(first, second, strict=False) if not (a.is_floating_point() or a.is_complex())]
    return all(a.shape == b.shape and bool((a == b).all()) for a, b in pairs)


def distance(first: Outputs, second: Outputs) -> float:
    """The largest relative error of any output: max abs difference over max abs value of `first`.

    Infinite where the two have different structures, or are not finite in different places.
    """
    if len(first) != len(second):
        return inf
    return max((_distance(a, b) for a, b in zip(first, second, strict=True)), default=0.0)


def _distance(first: Tensor, second: Tensor) -> float:
    if first.shape != second.shape or first.is_floating_point() != second.is_floating_point():
        return inf
    if first.is_complex() or second.is_complex():
        return _distance(
            torch.view_as_real(first.to(torch.complex128)), torch.view_as_real(second.to(torch.complex128))
        )
    if first.numel() == 0:
        return 0.0
    a, b = first.double(), second.double()
    same = (a == b) | (a.isnan() & b.isnan())
    if bool((~(a.isfinite() & b.isfinite()) & ~same).any()):
        return inf
    difference = torch.where(same, torch.zeros_like(a), (a - b).abs())
    size = float(torch.where(a.isfinite(), a.abs(), torch.zeros_like(a)).max())
    return float(difference.max()) / (size or 1.0)


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
