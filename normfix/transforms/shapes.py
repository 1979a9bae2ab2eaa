"""The shapes that a model's norms read, seen in one forward pass of a copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from normfix.errors import UsageError
from normfix.proof.copying import copied
from normfix.proof.measure import run
from normfix.transforms.swapping import kind_of


def input_shapes(
    model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None
) -> dict[str, tuple[int, ...]]:
    """The shape that each norm read last, by module path; empty without inputs. Raises `UsageError` where the model
    does not run."""
    if not args and not kwargs:
        return {}
    seen: dict[str, tuple[int, ...]] = {}
    observed = copied(model).eval()
    for path, module in observed.named_modules():
        if kind_of(module) is not None:

            def record(_: nn.Module, inputs: tuple[Any, ...], path: str = path) -> None:
                if inputs and isinstance(inputs[0], Tensor):
                    seen[path] = tuple(inputs[0].shape)

            module.register_forward_pre_hook(record)
    result = run(observed, args, kwargs or {})
    if result.failure:
        raise UsageError(f"running `{type(model).__name__}` on the example inputs: {result.failure}")
    return seen
