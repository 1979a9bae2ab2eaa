"""What one capture does not show: other ways that forward takes for inputs of other sizes, and arguments left at their
default."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from normfix.proof.copying import copied
from normfix.proof.inputs import Family, Inputs, batches, families, is_little, reduced, same_sides, smaller
from normfix.proof.measure import Result, run
from normfix.proof.proving import Seen
from normfix.proof.together import run_together
from normfix.readers.live.preserve import untouched

Calls = Mapping[str, int]
"""How often each module was called, by path."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What a model does with its example inputs, and with others."""

    seen: Seen
    """Its results on the given inputs and on those of other batch sizes."""
    unsteady: Mapping[str, str]
    """Modules that are called more or less often for another size, by path, each with a sentence."""


def watch(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, cut: bool, together: bool) -> Watched:
    """Run the model on the given inputs, in a smaller size if asked for (every module must be called as often then),
    and in other batch sizes. It is left alone.

    `together` takes the other batches from the families of a proof, where they can be run so: their results are known
    then."""
    with _counting(model) as census:
        result = census.take(Family("given", args, kwargs))
        if census.given is None:
            return Watched(Seen({"given": result}, None, 1), {})
        small = smaller(args, kwargs) if cut else None
        seen = _in_batches(census, args, kwargs, small) if together else None
        seen = seen or _one_by_one(census, args, kwargs, small)
        image = reduced(args, kwargs)
        if image is not None and (seen.cut is None or not same_sides(image, seen.cut)):
            census.take(Family("smaller image", *image))
    seen = replace(seen, known={"given": result, **seen.known}, forwards=census.forwards)
    return Watched(seen, census.unsteady())


def _in_batches(census: _Census, args: tuple[Any, ...], kwargs: Mapping[str, Any], small: Inputs | None) -> Seen | None:
    """The families of a proof in few batches, in a smaller size or as they are; None where they cannot be run so."""
    for cut in [small, None] if small is not None else [None]:
        if cut is None and small is not None and not is_little(args, kwargs):
            return None
        census.begin()
        found = run_together(families(args, kwargs, cut)[1:], census.take)
        if found is not None and (cut is None or census.steady()):
            return Seen(found, cut, together=True)
    return None


def _one_by_one(census: _Census, args: tuple[Any, ...], kwargs: Mapping[str, Any], small: Inputs | None) -> Seen:
    """The given inputs in a smaller size, and in other batch sizes."""
    if small is not None:
        census.begin()
        census.take(Family("cut", *small))
        small = small if census.steady() else None
    census.begin()
    return Seen({family.name: census.take(family) for family in batches(*(small or (args, kwargs)))}, small)


def _differences(seen: Calls, other: Calls, name: str) -> dict[str, str]:
    return {
        path: f"`{path}` is called {seen.get(path, 0)} times with the example inputs and {other.get(path, 0)} times "
        f"for a {name}: forward takes another way"
        for path in sorted(seen.keys() | other.keys())
        if seen.get(path, 0) != other.get(path, 0)
    }


class _Census:
    """Counts how often each module of a model is called in each forward pass, from the first one on."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._calls: dict[str, int] = {}
        self.given: Calls | None = None
        """The calls of the first pass; None where the model does not run."""
        self._others: list[tuple[str, Calls | None]] = []
        self.forwards = 0
        for path, module in model.named_modules():

            def count(*_: object, path: str = path) -> None:
                self._calls[path] = self._calls.get(path, 0) + 1

            module.register_forward_pre_hook(count)

    def take(self, family: Family) -> Result:
        """One forward pass."""
        self._calls.clear()
        result = run(self._model, family.args, family.kwargs)
        calls = None if result.failure else dict(self._calls)
        if not self.forwards:
            self.given = calls
        else:
            self._others.append((f"batch of {family.batch}" if family.batch else family.name, calls))
        self.forwards += 1
        return result

    def begin(self) -> None:
        """Forget what was taken after the first pass."""
        self._others.clear()

    def steady(self) -> bool:
        """Were the calls the same in all passes."""
        return all(calls == self.given for _, calls in self._others)

    def unsteady(self) -> dict[str, str]:
        """Modules that some pass calls more or less often than the first one, each with a sentence."""
        found: dict[str, str] = {}
        for name, calls in self._others:
            if calls is not None:
                found = {**_differences(self.given or {}, calls, name), **found}
        return found


@contextmanager
def _counting(model: nn.Module) -> Iterator[_Census]:
    """A census of the model, which comes back as it was; of a copy, where it may learn from what it reads."""
    watched = copied(model) if any(module.training for module in model.modules()) else model
    with untouched(watched, keep_buffers=True):
        yield _Census(watched)


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
