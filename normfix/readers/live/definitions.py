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
    """Each class outside torch whose own `forward` or `train` an instance in the model runs."""
    instances: dict[type, list[str]] = {}
    for path, module in model.named_modules():
        instances.setdefault(type(module), []).append(path)
    methods: dict[type, set[str]] = {}
    modules: dict[type, list[str]] = {}
    for cls, paths in instances.items():
        for name in _METHODS:
            owner = next((base for base in cls.__mro__ if name in vars(base)), cls)
            if owner.__module__.partition(".")[0] != "torch":
                methods.setdefault(owner, set()).add(name)
                modules.setdefault(owner, []).extend(path for path in paths if path not in modules[owner])
    return [
        Definition(cls.__qualname__, frozenset(names), tuple(modules[cls]), _script_of(cls))
        for cls, names in methods.items()
    ]


def _script_of(cls: type) -> Callable[[], Script]:
    return partial(_read, cls)


def _read(cls: type) -> Script:
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
