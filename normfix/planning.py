"""Which rules run on which file: what the caller said, before what the file's configuration says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache

from normfix import config, patterns
from normfix.config import Settings
from normfix.engine import rules
from normfix.examine import Plan
from normfix.records import dataclass
from normfix.selection import codes, reach


@dataclass(frozen=True)
class Words:
    """What the caller selects; without a `select` the configuration decides what is on."""

    select: tuple[str, ...] | None = None
    extend_select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    @classmethod
    def of(cls, select: Sequence[str] | None, extend_select: Iterable[str], ignore: Iterable[str]) -> Words:
        """The words, checked. Raises UsageError for one that names no rule."""
        codes(select, extend_select := tuple(extend_select), ignore := tuple(ignore))
        return cls(None if select is None else tuple(select), extend_select, ignore)


def planner(words: Words, settings_of: Callable[[str], Settings]) -> Callable[[str], Plan]:
    """A function from the path of a file to what is looked for in it."""

    @cache
    def plan(number: int, matched: tuple[str, ...]) -> Plan:
        settings = known[number]
        chosen = _chosen(words, settings)
        ignored = [word for pattern in matched for word in settings.per_file_ignores[pattern]]
        return Plan(frozenset(code for code in chosen if not reach(rules()[code], ignored)), settings.options)

    known: dict[int, Settings] = {}

    def plan_of(path: str) -> Plan:
        settings = settings_of(path)
        known[id(settings)] = settings
        matched = (one for one in settings.per_file_ignores if patterns.matches(path, settings.root, (one,)))
        return plan(id(settings), tuple(matched))

    return plan_of


def settings_source(path: str | None) -> Callable[[str], Settings]:
    """Where the settings of a file come from: the configuration that was named, or the nearest. Raises UsageError."""
    if path is None:
        return config.finder()
    named = config.read(path)
    return lambda _: named


def _chosen(words: Words, settings: Settings) -> frozenset[str]:
    if words.select is not None:
        return codes(words.select, words.extend_select, words.ignore)
    extend = (*settings.extend_select, *words.extend_select)
    return codes(settings.select, extend, (*settings.ignore, *words.ignore))
