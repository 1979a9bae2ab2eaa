"""What .gitignore files leave out. `pathspec` is loaded only where there is one."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

Kept = tuple[tuple[str, "GitIgnoreSpec"], ...]


class Ignored:
    """What git would leave out below one folder that was named: it counts itself, even if it is ignored."""

    def __init__(self, top: str) -> None:
        self._top = os.path.abspath(top)
        self._chains: dict[str, Kept] = {}
        self._parents: dict[str, str] = {}

    def __call__(self, path: str, folder: bool) -> bool:
        """Is the file or folder at this path left out."""
        parent, name = os.path.split(path)
        if parent not in self._parents:
            self._parents[parent] = os.path.abspath(parent)
        chain = self._chain(self._parents[parent])
        return bool(chain) and _verdict(os.path.join(self._parents[parent], name), folder, chain)

    def _chain(self, folder: str) -> Kept:
        """The patterns that hold in a folder, and where they are kept: those that win first."""
        if folder not in self._chains:
            own = _own(folder)
            parent = os.path.dirname(folder)
            if parent != folder and not os.path.exists(os.path.join(folder, ".git")):
                above = self._chain(parent)
                own += () if folder == self._top and _verdict(folder, True, above) else above
            self._chains[folder] = own
        return self._chains[folder]


def _verdict(path: str, folder: bool, chain: Kept) -> bool:
    for base, spec in chain:
        included = spec.check_file(os.path.relpath(path, base) + ("/" if folder else "")).include
        if included is not None:
            return included
    return False


def _own(folder: str) -> Kept:
    files = (os.path.join(folder, ".gitignore"), os.path.join(folder, ".git", "info", "exclude"))
    return tuple((folder, _parse(file)) for file in files if os.path.isfile(file))


def _parse(path: str) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    with open(path, encoding="utf-8", errors="replace") as file:
        return GitIgnoreSpec.from_lines(file)
