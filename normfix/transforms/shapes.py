"""The shapes that a model's norms read, seen in one forward pass of a copy."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from torch import Tensor, nn

from normfix.errors import UsageError
from normfix.proof.copying import copied
from normfix.proof.measure import run
from normfix.transforms.swapping import kind_of


def input_shapes(
    model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None
) -> dict[str, tuple[int, ...]]:
    """The smallest shape that each norm read, by module path, () where it read several ranks; empty without inputs.
    Raises `UsageError` where the model does not run."""
    if not args and not kwargs:
        return {}
    seen: dict[str, tuple[int, ...]] = {}
    observed = copied(model).eval()
    for path, module in observed.named_modules():
        if kind_of(module) is not None:

            def record(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], path: str = path) -> None:
                read = args[0] if args else next(iter(kwargs.values()), None)
                if isinstance(read, Tensor):
                    seen[path] = _smaller(seen.get(path), tuple(read.shape))

            module.register_forward_pre_hook(record, with_kwargs=True)
    result = run(observed, args, kwargs or {})
    if result.failure:
        raise UsageError(f"running `{type(model).__name__}` on the example inputs: {result.failure}")
    return seen


def _smaller(before: tuple[int, ...] | None, now: tuple[int, ...]) -> tuple[int, ...]:
    if before is None:
        return now
    return min(before, now, key=lambda shape: prod(shape[2:])) if len(before) == len(now) else ()
