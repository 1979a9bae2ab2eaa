"""`[tool.normfix]` of the nearest pyproject.toml, as ruff finds it; an unknown key is an error."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from normfix.errors import UsageError
from normfix.records import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
_MENTION = rb"""\btool["']?\s*\.\s*["']?normfix|^\s*(?:\[\s*)?["']?tool["']?\s*[]=]"""
"""Stands in every file with a table `tool.normfix`; reading TOML takes longer than linting a small file."""


@dataclass(frozen=True)
class Settings:
    """What a configuration file says; the defaults where there is none."""

    root: str = ""
    """The folder that patterns are relative to."""
    select: Sequence[str] | None = None
    extend_select: Sequence[str] = ()
    ignore: Sequence[str] = ()
    per_file_ignores: Mapping[str, Sequence[str]] = field(default_factory=dict)
    exclude: Sequence[str] | None = None
    """Patterns of files and folders that are left out; None for the names that are always left out."""
    extend_exclude: Sequence[str] = ()
    fail_on: str | None = None
    baseline: str | None = None
    models: Sequence[Mapping[str, object]] = ()
    """The tables of `[[tool.normfix.models]]`, which `normfix check` reads."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Settings of single rules, by slug."""


class Finder:
    """From a path to the settings of the nearest pyproject.toml above it that has a `[tool.normfix]`.

    It reads each file once, and can be sent to another process. Raises UsageError.
    """

    def __init__(self) -> None:
        self._known: dict[str, Settings] = {}

    def __call__(self, path: str) -> Settings:
        return self._nearest(os.path.dirname(os.path.abspath(path)))

    def _nearest(self, folder: str) -> Settings:
        if folder not in self._known:
            found = _read(os.path.join(folder, "pyproject.toml"), named=False)
            parent = os.path.dirname(folder)
            if found is None:
                found = Settings() if parent == folder else self._nearest(parent)
            self._known[folder] = found
        return self._known[folder]


def read(path: str) -> Settings:
    """The settings of a TOML file that was named. Raises UsageError where it cannot be read or says what is unknown."""
    found = _read(os.path.abspath(path), named=True)
    assert found is not None
    return found


def _read(path: str, named: bool) -> Settings | None:
    """None where a file that nobody named does not exist, or is not about normfix."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        if not named and not os.path.exists(path):
            return None
        raise UsageError(f"cannot read the configuration `{path}`: {error.strerror}") from error
    if not named and not re.search(_MENTION, data, re.MULTILINE):
        return None
    table = _table(data, path, named)
    return None if table is None else _settings(table, path)


def _table(data: bytes, path: str, named: bool) -> Mapping[str, Any] | None:
    loads = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli").loads
    try:
        document = loads(data.decode())
    except ValueError as error:
        raise UsageError(f"cannot read the configuration `{path}`: {error}") from error
    own = document.get("tool", {}).get("normfix")
    if own is None:
        # A file of another name that was named holds the keys at its top.
        return document if named and "tool" not in document else ({} if named else None)
    if not isinstance(own, dict):
        raise UsageError(f"`tool.normfix` in `{path}` is no table")
    return own


def _settings(table: Mapping[str, Any], path: str) -> Settings:
    values: dict[str, Any] = {"root": os.path.dirname(path), "options": {}}
    for key, value in table.items():
        if key in _KEYS:
            values[key.replace("-", "_")] = _KEYS[key](value, f"`{key}` in [tool.normfix] of `{path}`")
        else:
            values["options"][key] = _option(key, value, path)
    return Settings(**values)


def _option(key: str, value: object, path: str) -> object:
    """The setting of a rule that has settings."""
    from normfix.engine import rules

    settable = {rule.slug: rule for rule in rules().values() if rule.settings}
    if key not in settable:
        raise UsageError(f"unknown key `{key}` in [tool.normfix] of `{path}`{_hint(key, [*_KEYS, *settable])}")
    if value not in settable[key].settings:
        allowed = " or ".join(f"{one!r}" for one in settable[key].settings)
        raise UsageError(f"`{key}` in [tool.normfix] of `{path}` is {value!r}, and may be {allowed}")
    return value


def _hint(word: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word.replace("_", "-"), known, n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; known are {', '.join(f'`{key}`' for key in known)}"


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{where} must be a text, not {value!r}")
    return value


def _texts(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"{where} must be a list of texts, not {value!r}")
    return tuple(value)


def _words(value: object, where: str) -> tuple[str, ...]:
    from normfix.selection import require_known

    words = _texts(value, where)
    for word in words:
        try:
            require_known(word)
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error
    return words


def _words_by_pattern(value: object, where: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise UsageError(f"{where} must be a table of patterns, not {value!r}")
    return {pattern: _words(words, where) for pattern, words in value.items()}


def _tables(value: object, where: str) -> tuple[Mapping[str, object], ...]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise UsageError(f"{where} must be an array of tables")
    return tuple(value)


def _severity(value: object, where: str) -> str:
    if value not in ("info", "warning", "error"):
        raise UsageError(f"{where} is {value!r}, and may be 'info', 'warning' or 'error'")
    return str(value)


_KEYS: dict[str, Callable[[object, str], object]] = {
    "select": _words,
    "extend-select": _words,
    "ignore": _words,
    "per-file-ignores": _words_by_pattern,
    "exclude": _texts,
    "extend-exclude": _texts,
    "fail-on": _severity,
    "baseline": _text,
    "models": _tables,
}
