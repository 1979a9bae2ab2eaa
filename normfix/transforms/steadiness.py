"""What one capture does not show: norms that other batch sizes pass by, and arguments left at their default."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from normfix.proof.copying import copied
from normfix.proof.inputs import Family, batches
from normfix.proof.measure import run


def unsteady(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, str]:
    """Modules that are called more or less often for another batch size, by path, each with a sentence."""
    seen = _census(model, Family("given", args, kwargs))
    found: dict[str, str] = {}
    for family in batches(args, kwargs):
        other = _census(model, family)
        if seen is None or other is None:
            continue
        for path in seen.keys() | other.keys():
            first, second = seen.get(path, 0), other.get(path, 0)
            if first != second:
                found.setdefault(
                    path,
                    f"`{path}` is called {first} times with the example inputs and {second} times for a "
                    f"{family.name}: forward takes another way",
                )
    return found


def _census(model: nn.Module, family: Family) -> dict[str, int] | None:
    """How often each module is called; None where the model does not run."""
    calls: dict[str, int] = {}
    watched = copied(model)
    for path, module in watched.named_modules():

        def count(*_: object, path: str = path) -> None:
            calls[path] = calls.get(path, 0) + 1

        module.register_forward_pre_hook(count)
    return None if run(watched, family.args, family.kwargs).failure else calls


def unseen_arguments(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[str]:
    """A note about arguments of `forward` that the example leaves at their defaults; empty where there are none."""
    try:
        parameters = inspect.signature(model.forward).parameters
        bound = inspect.signature(model.forward).bind(*args, **kwargs).arguments
    except (TypeError, ValueError):
        return []
    left = [
        name
        for name, parameter in parameters.items()
        if name not in bound and parameter.default is not inspect.Parameter.empty
    ]
    if not left:
        return []
    names = ", ".join(f"`{name}`" for name in left)
    return [f"proven for calls that leave {names} at the default: other ways through forward were not seen"]
