"""What one capture does not show: other ways that forward takes for inputs of other sizes, and arguments left at their
default."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from normfix.proof.copying import copied
from normfix.proof.inputs import Family, Inputs, batches, reduced, smaller
from normfix.proof.measure import Result, run


@dataclass(frozen=True, slots=True)
class Watched:
    """What a model does with its example inputs, and with others."""

    result: Result
    """What it makes of the given inputs."""
    unsteady: Mapping[str, str]
    """Modules that are called more or less often for another size, by path, each with a sentence."""
    cut: Inputs | None
    """The inputs in a smaller size, at which every module is called as often; None where there are none such."""


def watch(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], cut: bool) -> Watched:
    """Run the model on the given inputs, in a smaller size if asked for, and in other sizes. It is left alone."""
    watched, calls = _counting(model)
    result, seen = _census(watched, calls, Family("given", args, kwargs))
    small = smaller(args, kwargs) if cut and seen is not None else None
    if small is not None and _census(watched, calls, Family("cut", *small))[1] != seen:
        small = None
    unsteady: dict[str, str] = {}
    others = batches(*(small or (args, kwargs)))
    image = reduced(args, kwargs)
    others += [Family("smaller image", *image)] if image is not None else []
    for family in others if seen is not None else ():
        other = _census(watched, calls, family)[1]
        unsteady = {**_differences(seen or {}, other, family.name), **unsteady} if other is not None else unsteady
    return Watched(result, unsteady, small)


def _differences(seen: Mapping[str, int], other: Mapping[str, int], name: str) -> dict[str, str]:
    return {
        path: f"`{path}` is called {seen.get(path, 0)} times with the example inputs and {other.get(path, 0)} times "
        f"for a {name}: forward takes another way"
        for path in sorted(seen.keys() | other.keys())
        if seen.get(path, 0) != other.get(path, 0)
    }


def _counting(model: nn.Module) -> tuple[nn.Module, dict[str, int]]:
    """A copy that counts how often each of its modules is called."""
    calls: dict[str, int] = {}
    watched = copied(model)
    for path, module in watched.named_modules():

        def count(*_: object, path: str = path) -> None:
            calls[path] = calls.get(path, 0) + 1

        module.register_forward_pre_hook(count)
    return watched, calls


def _census(watched: nn.Module, calls: dict[str, int], family: Family) -> tuple[Result, dict[str, int] | None]:
    """A forward pass, and how often each module was called in it; None where the model does not run."""
    calls.clear()
    result = run(watched, family.args, family.kwargs)
    return result, None if result.failure else dict(calls)


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
