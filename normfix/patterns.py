"""Patterns of paths, as `exclude` and `per-file-ignores` hold them."""

from __future__ import annotations

import os
import re
from fnmatch import translate
from functools import cache


def matches(path: str, root: str, patterns: tuple[str, ...]) -> bool:
    """Does a pattern match the name of the file or folder, or its path from `root`.

    `*` matches across `/`; a pattern with `!` before it matches what the rest does not.
    """
    names, insides, inverted = _compile(patterns)
    if names.match(os.path.basename(path)):
        return True
    if insides.pattern and insides.match(_inside(path, root)):
        return True
    return any(not matches(path, root, (pattern,)) for pattern in inverted)


def under(path: str, root: str, patterns: tuple[str, ...]) -> bool:
    """Does a pattern match the path, or a folder that it is in below `root`."""
    path, root = os.path.abspath(path), os.path.abspath(root)
    while not matches(path, root, patterns):
        parent = os.path.dirname(path)
        if path == parent or parent == root or not parent.startswith(root):
            return False
        path = parent
    return True


@cache
def _compile(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str], tuple[str, ...]]:
    """What matches names, what matches paths, and the patterns that are inverted."""
    plain = [pattern.replace(os.sep, "/").removeprefix("./").rstrip("/") for pattern in patterns]
    straight = [pattern for pattern in plain if not pattern.startswith("!")]
    names = "|".join(translate(pattern) for pattern in straight if "/" not in pattern)
    insides = "|".join(translate(pattern) for pattern in straight if "/" in pattern or "*" in pattern)
    inverted = tuple(pattern[1:] for pattern in plain if pattern.startswith("!"))
    return re.compile(names or r"(?!)"), re.compile(insides), inverted


def _inside(path: str, root: str) -> str:
    return os.path.relpath(path, root or None).replace(os.sep, "/")
