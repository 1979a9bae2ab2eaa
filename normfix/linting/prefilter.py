"""What is not worth parsing, told from the text alone: most files of a repository cannot hold a misuse.

Each check names the words that stand in every source it finds something in (`engine.Check.words`); the checks that look
at layer graphs share those of `readers/naming.py`.
"""

from __future__ import annotations

from normfix import engine
from normfix.lazy import pattern
from normfix.readers.naming import names_norm, says_norm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from normfix.linting.examine import Plan

WORDS = ("torch", "lightning", ".eval", ".train", "timm", "ignite", "accelerate")
"""One of these stands in every file that builds, trains, evaluates or exports a network."""
_IMPORT = pattern(r"(?m)^[ \t]*(?:from[ \t]+(?!torch|numpy|typing|collections|transformers)|import[ \t].*\.)[.\w]+")
"""An import of what may stand in a file beside this one."""
_SUPPRESSION = pattern(r"(?i)normfix\s*:\s*noqa|noqa\s*:[^\n\r]*(?:nf|[a-z]-[a-z])")


def may_misuse(text: str, plan: Plan) -> bool:
    """Can a source rule fire on this text, or a comment in it be useless."""
    if "noqa" in text.lower() and _SUPPRESSION.search(text):
        return True
    if not any(word in text for word in WORDS):
        return False
    if names_norm(text) or (says_norm(text) and _IMPORT.search(text)):
        return True
    own = [check for check in engine.checks() if check.rule.code in plan.codes and check.subject in ("script", "node")]
    return any(check.may_find(text, plan.options) for check in own)
