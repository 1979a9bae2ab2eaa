"""What .gitignore files leave out. `pathspec` is loaded only where there is one."""

from __future__ import annotations

import os
from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


def ignored(path: str, folder: bool, top: str) -> bool:
    """Would git leave out this absolute path. `top` is the folder that was named: it counts, even if ignored itself."""
    for base, spec in _chain(os.path.dirname(path), top):
        verdict = spec.check_file(os.path.relpath(path, base) + ("/" if folder else "")).include
        if verdict is not None:
            return verdict
    return False


@cache
def _chain(folder: str, top: str) -> tuple[tuple[str, GitIgnoreSpec], ...]:
    """The patterns that hold in a folder, and where they are kept: those that win first."""
    files = (os.path.join(folder, ".gitignore"), os.path.join(folder, ".git", "info", "exclude"))
    own = tuple((folder, _parse(file)) for file in files if os.path.isfile(file))
    parent = os.path.dirname(folder)
    if parent == folder or os.path.exists(os.path.join(folder, ".git")):
        return own
    if folder == top and ignored(folder, True, ""):
        return own
    return own + _chain(parent, top)


def _parse(path: str) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    with open(path, encoding="utf-8", errors="replace") as file:
        return GitIgnoreSpec.from_lines(file)
