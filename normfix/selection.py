"""Which rules run: by code (NF301), by the beginning of one (NF3, ALL), or by slug (bias-before-norm)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from normfix.engine import UNREADABLE_FILE, Check, Rule, checks, rules
from normfix.errors import UsageError

_DEFAULT, _ALL, _EXACT = 1, 2, 100


def codes(
    select: Sequence[str] | None = None, extend_select: Iterable[str] = (), ignore: Iterable[str] = ()
) -> frozenset[str]:
    """The codes that remain. As in ruff the more specific word wins, and `ignore` between equals.

    `select` None stands for the rules that are on by default. An unreadable file is reported whatever was selected,
    unless it is ignored. Raises UsageError for a word that names no rule.
    """
    for words in (select, extend_select, ignore):
        if isinstance(words, str):
            raise UsageError(f"cannot tell which rules `{words}` names: expected a list, as in `[{words!r}]`")
    wanted, unwanted = [*(select or ()), *extend_select], list(ignore)
    for word in (*wanted, *unwanted):
        require_known(word)
    chosen = set()
    for rule in rules().values():
        default = _DEFAULT if rule is UNREADABLE_FILE or (select is None and rule.enabled) else 0
        if max(default, reach(rule, wanted)) > reach(rule, unwanted):
            chosen.add(rule.code)
    return frozenset(chosen)


def selected(
    select: Sequence[str] | None = None, extend_select: Iterable[str] = (), ignore: Iterable[str] = ()
) -> list[Check]:
    """The checks of the rules that remain, in the order of their codes. Raises UsageError as `codes` does."""
    chosen = codes(select, extend_select, ignore)
    return [check for check in checks() if check.rule.code in chosen]


def reach(rule: Rule, words: Iterable[str]) -> int:
    """How specifically the words name this rule; 0 when they do not."""
    return max((_specificity(rule, word) for word in words), default=0)


def require_known(word: str) -> None:
    """Raises UsageError, with close matches, for a word that names no rule."""
    if any(_specificity(rule, word) for rule in rules().values()):
        return
    from difflib import get_close_matches

    names = [name for rule in rules().values() for name in (rule.code, rule.slug)]
    spelled = word.lower() if "-" in word else word.upper()
    known = any(_specificity(rule, spelled) for rule in rules().values())
    close = [spelled] if known else get_close_matches(spelled, names, n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(f'`{name}`' for name in close)}?" if close else " (see `normfix rule --all`)"
    raise UsageError(f"no rule is called `{word}`{hint}")


def _specificity(rule: Rule, word: str) -> int:
    if word in (rule.code, rule.slug):
        return _EXACT
    if word == "ALL":
        return _ALL
    return len(word) + _ALL if word.startswith("NF") and rule.code.startswith(word) else 0
