"""What is not worth parsing, told from the text alone: most files of a repository cannot hold a misuse.

Each check names the words that stand in every source it finds something in (`engine.Check.words`); the checks that look
at layer graphs share those of `readers/naming.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache

from normfix import engine
from normfix.lazy import pattern
from normfix.readers.naming import calls_others, matters_beside, may_matter_beside, names_norm, says_norm
from normfix.readers.siblings import Siblings, imported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from normfix.linting.examine import Plan

WORDS = ("torch", "lightning", ".eval", ".train", "timm", "ignite", "accelerate")
"""One of these stands in every file that builds, trains, evaluates or exports a network."""
_SUPPRESSION = pattern(r"(?i)normfix\s*:\s*noqa|noqa\s*:[^\n\r]*(?:nf|[a-z]-[a-z])")


def may_misuse(text: str, plan: Plan, path: str, siblings: Siblings | None) -> bool:
    """Can a source rule fire on this text, or a comment in it be useless."""
    if names_suppressed(text):
        return True
    if not any(word in text for word in WORDS):
        return False
    if plan.named:
        return True  # It is parsed in any case.
    if names_norm(text) and (plan.undecided or not _has_plain_norms(text)):
        return True
    if siblings is not None and says_norm(text) and _imports_norm(text, path, siblings):
        return True
    return any(check.may_find(text, plan.options) for check in _by_cost() if check.rule.code in plan.codes)


def _has_plain_norms(text: str) -> bool:
    if calls_others(text):
        return False
    from normfix.readers.plain_norms import only_plain_norms

    return only_plain_norms(text)


@lru_cache(maxsize=1)
def names_suppressed(text: str) -> bool:
    """May a comment in this text name a rule that it suppresses, and be useless."""
    # Bytes are searched in lower case in half the time that letters are.
    return b"noqa" in text.encode(errors="replace").lower() and _SUPPRESSION.search(text) is not None


@cache
def _by_cost() -> Sequence[engine.Check]:
    """The checks that look at a source itself; those whose words are words first, those that ask more last."""
    own = [check for check in engine.checks() if check.subject in ("script", "node") and "source" in check.rule.readers]
    return sorted(own, key=lambda check: max((_cost(words) for words in check.words), default=0))


def _cost(words: engine.Words) -> int:
    return 0 if isinstance(words, str) else 2 if callable(words) else 1


def _imports_norm(text: str, path: str, siblings: Siblings) -> bool:
    """Is anything imported from a file beside this one that holds a norm which matters here."""
    for dotted in sorted({dotted for _, dotted in imported(text)}) if may_matter_beside(text) else ():
        found = siblings.text(path, dotted) or siblings.module(path, dotted)
        if found is not None and matters_beside(text, found):
            return True
    return False
