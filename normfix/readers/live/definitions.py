"""The classes that a live model is made of, with the files that they are written in."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from torch import nn

from normfix.graph import Definition, Undecided
from normfix.readers import scripts
from normfix.readers.live.lines import relative
from normfix.script import Script

_METHODS = ("forward", "train")
"""What checks read."""


def definitions_of(model: nn.Module) -> list[Definition]:
    """Each class outside torch whose own `forward` or `train` an instance in the model runs. Methods that its source
    does not show, as they were put into it later or decorated, make one of their own, which cannot be read."""
    instances: dict[type[nn.Module], list[str]] = {}
    for path, module in model.named_modules():
        instances.setdefault(type(module), []).append(path)
    methods: dict[tuple[type, str], set[str]] = {}
    modules: dict[tuple[type, str], list[str]] = {}
    for cls, paths in instances.items():
        for name in _METHODS:
            owner = next((base for base in cls.__mro__ if name in vars(base)), cls)
            # A class with an eval() of its own does not go through train(False).
            unused = name == "train" and cls.eval is not nn.Module.eval
            if owner.__module__.partition(".")[0] != "torch" and not unused:
                key = owner, "" if _line(owner, name) else name
                methods.setdefault(key, set()).add(name)
                modules.setdefault(key, []).extend(path for path in paths if path not in modules[key])
    return [
        Definition(
            cls.__qualname__,
            frozenset(names),
            tuple(modules[cls, hidden]),
            _script_of(cls, hidden),
            _line(cls, min(names)),
        )
        for (cls, hidden), names in methods.items()
    ]


def _line(cls: type, name: str) -> int:
    """Where the method of a class begins; 0 where it is not written there."""
    method = inspect.unwrap(vars(cls).get(name))  # type: ignore[arg-type]  # anything is handed back
    written = getattr(method, "__qualname__", "") == f"{cls.__qualname__}.{name}"
    return method.__code__.co_firstlineno if written and inspect.isfunction(method) else 0


def _script_of(cls: type, hidden: str) -> Callable[[], Script]:
    return partial(_read, cls, hidden)


def _read(cls: type, hidden: str) -> Script:
    if hidden:
        raise Undecided(f"`{cls.__qualname__}.{hidden}` is not as the class writes it: decorated, or put in later")
    try:
        file = inspect.getsourcefile(cls)
    except (OSError, TypeError):  # built in, or typed into an interpreter
        file = None
    if file is None or not Path(file).is_file():
        raise Undecided(f"the source of `{cls.__qualname__}` is not at hand")
    return _parsed(file)


@cache
def _parsed(file: str) -> Script:
    try:
        return scripts.read(Path(file).read_text(encoding="utf-8"), relative(file))
    except (OSError, SyntaxError, ValueError) as error:
        raise Undecided(f"`{file}` cannot be read: {error}") from error
