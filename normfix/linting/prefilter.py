"""What is not worth looking at, told from the text alone: many files of a repository have nothing to do with networks.

Every file is parsed, as a syntax error is always reported; only those that may hold a misuse are indexed and followed.
"""

from __future__ import annotations

WORDS = ("torch", "lightning", ".eval", ".train", "timm", "ignite", "accelerate")
"""One of these stands in every file that builds, trains, evaluates or exports a network."""


def may_misuse(text: str) -> bool:
    """Can a source rule fire on this text, or a comment in it be useless."""
    return any(word in text for word in WORDS) or "NF" in text
