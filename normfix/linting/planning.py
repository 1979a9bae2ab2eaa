"""Which rules run on which file: what the caller said, before what the file's configuration says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from normfix import config, patterns
from normfix.config import Settings
from normfix.engine import rules
from normfix.linting.examine import Plan
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


class Planner:
    """From the path of a file to what is looked for in it; can be sent to another process."""

    def __init__(
        self, words: Words, settings_of: Callable[[str], Settings], named: Iterable[str], undecided: bool = True
    ) -> None:
        self.words = words
        self.settings_of = settings_of
        self.named = frozenset(named)
        """The paths that the caller gave; other files are found in them."""
        self.undecided = undecided
        self._plans: dict[tuple[str, tuple[str, ...], bool], Plan] = {}

    def __call__(self, path: str) -> Plan:
        settings = self.settings_of(path)
        matched = tuple(one for one in settings.per_file_ignores if patterns.matches(path, settings.root, (one,)))
        key = (settings.root, matched, path in self.named)
        if key not in self._plans:
            self._plans[key] = self._plan(settings, *key[1:])
        return self._plans[key]

    def _plan(self, settings: Settings, matched: tuple[str, ...], named: bool) -> Plan:
        chosen = _chosen(self.words, settings)
        ignored = [word for pattern in matched for word in settings.per_file_ignores[pattern]]
        left = frozenset(code for code in chosen if not reach(rules()[code], ignored))
        return Plan(left, settings.options, named, self.undecided)


def settings_source(path: str | None) -> Callable[[str], Settings]:
    """Where the settings of a file come from: the configuration that was named, or the nearest. Raises UsageError."""
    return config.Finder() if path is None else partial(_always, config.read(path))


def _always(settings: Settings, path: str) -> Settings:
    return settings


def _chosen(words: Words, settings: Settings) -> frozenset[str]:
    if words.select is not None:
        return codes(words.select, words.extend_select, words.ignore)
    extend = (*settings.extend_select, *words.extend_select)
    return codes(settings.select, extend, (*settings.ignore, *words.ignore))
