"""The files beside a source: where a block that it imports is defined. Found by path; nothing is imported."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from normfix.readers import scripts
from normfix.script import Script

FOREIGN = frozenset({"torch", "torchvision", "timm", "numpy", "transformers", "typing", "collections", "functools"})
"""Packages that no file beside a source stands for."""
_DEPTH = 4
"""How many re-exports are followed."""


class Siblings:
    """Finds and keeps the scripts beside the files of one run; the latest `size` of them stay in memory."""

    def __init__(self, size: int = 64) -> None:
        self._asked: dict[str, dict[str, None]] = {}
        """By file, the paths that were looked at for it."""
        self._scripts: dict[str, Script | None] = {}
        self._size = size

    def attach(self, script: Script) -> Script:
        """The same script, its `sibling` answered from here."""
        script.sibling = self.finder(script.path)
        return script

    def used(self, path: str) -> list[str]:
        """The paths, also of files that do not exist, that answers for the file at `path` depended on."""
        found = dict.fromkeys(self._asked.get(path, ()))
        waiting = list(found)
        while waiting:
            for further in self._asked.get(waiting.pop(), ()):
                if further not in found:
                    found[further] = None
                    waiting.append(further)
        return list(found)

    def finder(self, path: str) -> Callable[[str], Script | None]:
        """What `Script.sibling` is for the file at `path`."""
        return lambda name: self._find(path, name, _DEPTH)

    def _find(self, path: str, name: str, depth: int) -> Script | None:
        *steps, last = name.lstrip(".").split(".")
        level = len(name) - len(name.lstrip("."))
        if depth == 0 or (not level and (not steps or steps[0] in FOREIGN)):
            return None
        for candidate in _candidates(path, level, steps):
            self._asked.setdefault(path, {})[candidate] = None
            found = self._read(candidate)
            if found is None:
                continue
            if any(getattr(node, "name", "") == last for node in found.tree.body):
                return found
            meaning = found.imports.get(last)
            return self._find(candidate, meaning, depth - 1) if meaning else None
        return None

    def _read(self, path: str) -> Script | None:
        if path in self._scripts:
            self._scripts[path] = self._scripts.pop(path)
            return self._scripts[path]
        found = None
        if os.path.isfile(path):  # noqa: PTH113 - pathlib costs the linter 5 ms at start-up
            try:
                with open(path, encoding="utf-8-sig") as file:  # noqa: PTH123
                    found = self.attach(scripts.read(file.read(), path))
            except (OSError, SyntaxError, ValueError):
                # A file that cannot be read defines nothing; it is reported where it is linted itself.
                found = None
        self._scripts[path] = found
        if len(self._scripts) > self._size:
            del self._scripts[next(iter(self._scripts))]
        return found


def _candidates(path: str, level: int, steps: list[str]) -> Iterator[str]:
    """The files that may hold a module which the file at `path` imports, from `level` packages up."""
    folder = os.path.dirname(path)  # noqa: PTH120
    if level:
        for _ in range(level - 1):
            folder = os.path.join(folder, os.pardir)  # noqa: PTH118
        yield from _files(folder, steps)
        return
    yield from _files(folder, steps)
    while os.path.isfile(os.path.join(folder, "__init__.py")):  # noqa: PTH113, PTH118
        folder = os.path.dirname(os.path.abspath(folder))  # noqa: PTH100, PTH120
        yield from _files(folder, steps)


def _files(folder: str, steps: list[str]) -> Iterator[str]:
    stem = os.path.normpath(os.path.join(folder, *steps))  # noqa: PTH118
    if steps:
        yield f"{stem}.py"
    yield os.path.join(stem, "__init__.py")  # noqa: PTH118
