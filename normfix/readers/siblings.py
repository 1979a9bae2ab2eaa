"""The files beside a source: where a block that it imports is defined. Found by path; nothing is imported."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import lru_cache

from normfix.lazy import pattern
from normfix.readers import scripts
from normfix.script import Script

FOREIGN = frozenset(
    "torch torchvision timm numpy transformers __future__ abc argparse collections contextlib copy dataclasses enum "
    "functools inspect io itertools json logging math os pathlib random re sys time typing warnings".split()
)
"""Packages that no file beside a source stands for."""
_DEPTH = 4
"""How many re-exports are followed."""
_TEXTS = 16
"""How many texts stay in memory for each script; a file that is not there counts as one."""
_IMPORT = pattern(r"import(?<!\wimport)(?!\w)")
_MODULES = pattern(r"[^\n#;]*")
_NAMES = pattern(r"[ \t]*(?:\((?:[^)#]|#[^\n]*\n)*\)|(?:[^\n#;\\]|\\\r?\n)*)")
_REACH = 200
"""Characters before the word "import" that its statement begins in."""
_COMMENT = pattern("#.*")


class Siblings:
    """Finds and keeps the scripts beside the files of one run; the latest `size` of them stay in memory."""

    def __init__(self, size: int = 64) -> None:
        self._asked: dict[str, dict[str, None]] = {}
        """By file, the paths that were looked at for it."""
        self._script = lru_cache(size)(self._read)
        self._text = lru_cache(_TEXTS * size)(_text)
        self._imports = lru_cache(_TEXTS * size)(_imports)
        self._folders = lru_cache(_TEXTS * size)(_folders)
        self._meaning = lru_cache(_TEXTS * size)(self._looked_up)

    def attach(self, script: Script) -> Script:
        """The same script, its `sibling` answered from here."""
        script.sibling = self.finder(script.path)
        path = script.path  # A function that held the script would keep it from being freed with its last user.
        script.text_beside = lambda name: self.text(path, name)
        return script

    def text(self, path: str, name: str, depth: int = _DEPTH) -> str | None:
        """The text of the script that `finder` would give, found without parsing."""
        level, steps, last = _taken_apart(name)
        if depth == 0 or (not level and (not steps or steps[0] in FOREIGN)):
            return None
        for candidate in self._candidates(path, level, steps):
            found = self._text(candidate)
            if found is None:
                continue
            meaning = self._meaning(last, found)
            return found if meaning == "" else self.text(candidate, meaning, depth - 1) if meaning else None
        return None

    def module(self, path: str, name: str) -> str | None:
        """The text of the module of this dotted name."""
        level, steps, last = _taken_apart(name)
        if not level and (steps or [last])[0] in FOREIGN:
            return None
        texts = (self._text(candidate) for candidate in self._candidates(path, level, [*steps, last]))
        return next((text for text in texts if text is not None), None)

    def _candidates(self, path: str, level: int, steps: list[str]) -> Iterator[str]:
        """The files that may hold a module, one after the other; what is told of `path` depends on those asked for."""
        asked = self._asked.setdefault(path, {})
        for folder in self._folders(os.path.dirname(path), level):  # noqa: PTH120
            for candidate in _files(folder, steps):
                asked[candidate] = None
                yield candidate

    def _looked_up(self, name: str, text: str) -> str | None:
        """What a text imports under a name; empty where it defines it, None where it does neither."""
        if name not in text:
            return None
        return "" if _defines(text, name) else self._imports(text).get(name)

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

    def finder(self, path: str) -> Callable[[str], tuple[Script, str] | None]:
        """What `Script.sibling` is for the file at `path`."""
        return lambda name: self._find(path, name, _DEPTH)

    def _find(self, path: str, name: str, depth: int) -> tuple[Script, str] | None:
        level, steps, last = _taken_apart(name)
        if depth == 0 or (not level and (not steps or steps[0] in FOREIGN)):
            return None
        for candidate in self._candidates(path, level, steps):
            # Only what is there takes a place among the scripts that stay in memory.
            found = None if self._text(candidate) is None else self._script(candidate)
            if found is None:
                continue
            if any(getattr(node, "name", "") == last for node in found.tree.body):
                return found, last
            meaning = found.imports.get(last)
            given = [meaning] if meaning else [f"{one}{last}" for one in found.stars]
            return next((place for one in given if (place := self._find(candidate, one, depth - 1)) is not None), None)
        return None

    def _read(self, path: str) -> Script | None:
        text = self._text(path)
        try:
            return None if text is None else self.attach(scripts.read(text[1:], path))
        except (SyntaxError, ValueError):
            # A file that cannot be parsed defines nothing; it is reported where it is linted itself.
            return None


def _text(path: str) -> str | None:
    """What is in a file, after a line break."""
    try:
        with open(path, encoding="utf-8-sig") as file:  # noqa: PTH123 - pathlib costs 5 ms at start-up
            return f"\n{file.read()}"
    except (OSError, ValueError):
        return None


def _imports(text: str) -> dict[str, str]:
    return dict(imported(text))


def imported(text: str) -> Iterator[tuple[str, str]]:
    """What the import statements of a text bind, and what that stands for; of two of one name the last."""
    for module, names in _statements(text):
        for part in _COMMENT.sub("", names.strip("()\\ \t")).split(","):
            words = part.replace("\\", " ").strip("() \t\r\n").split()
            if words and not module:
                yield words[-1], words[0]
            elif words:
                yield words[-1], f"{module}{'' if module.endswith('.') else '.'}{words[0]}"


def _statements(text: str) -> Iterator[tuple[str, str]]:
    """What each import statement imports from, nothing where it imports modules, and what follows its "import"."""
    found = _IMPORT.search(text)
    while found:
        place, end = found.span()
        match text[max(place - _REACH, 0) : place].rpartition("\n")[2].split():
            case []:
                module, behind = "", _MODULES.match(text, end)
            case ["from", module]:
                behind = _NAMES.match(text, end)
            case _:
                behind = None
        if behind:
            yield module, behind[0]
            end = behind.end()
        found = _IMPORT.search(text, end)


def _defines(text: str, name: str) -> bool:
    """Does a text hold a class or a function of this name at the top level."""
    for head in (f"\nclass {name}", f"\ndef {name}", f"\nasync def {name}"):
        start = text.find(head)
        while start >= 0:
            if not text[start + len(head) : start + len(head) + 1].isidentifier():
                return True
            start = text.find(head, start + 1)
    return False


def _taken_apart(name: str) -> tuple[int, list[str], str]:
    """The dots before a dotted name, the modules, and the last part."""
    *steps, last = name.lstrip(".").split(".")
    return len(name) - len(name.lstrip(".")), steps, last


def _folders(folder: str, level: int) -> tuple[str, ...]:
    """Where a module may lie that a file in this folder imports, from `level` packages up."""
    if level:
        return (_plain(os.path.join(folder, *[os.pardir] * (level - 1))),)  # noqa: PTH118
    found = [_plain(folder)]
    while os.path.isfile(os.path.join(folder, "__init__.py")):  # noqa: PTH113, PTH118
        folder = os.path.dirname(os.path.abspath(folder))  # noqa: PTH100, PTH120
        found.append(folder)
    return tuple(found)


def _plain(folder: str) -> str:
    return "" if (plain := os.path.normpath(folder)) == os.curdir else plain


def _files(folder: str, steps: list[str]) -> Iterator[str]:
    stem = os.path.join(folder, *steps)  # noqa: PTH118
    if steps:
        yield f"{stem}.py"
    yield os.path.join(stem, "__init__.py")  # noqa: PTH118
