"""The source files behind the paths that were given: files as they are, directories walked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

from normfix import config, patterns
from normfix.config import Settings
from normfix.errors import UsageError
from normfix.linting.gitignore import Ignored

SUFFIXES = (".py", ".pyw", ".ipynb")
NEVER = tuple(
    ".bzr .direnv .eggs .git .git-rewrite .hg .ipynb_checkpoints .mypy_cache .nox .pants.d .pyenv .pytest_cache "
    ".pytype .ruff_cache .svn .tox .venv .vscode __pycache__ __pypackages__ _build buck-out build dist node_modules "
    "site-packages venv".split()
)
"""Names of folders that are not walked into; ruff leaves out the same ones."""


def find(
    paths: Iterable[str],
    exclude: Sequence[str] = (),
    settings_of: Callable[[str], Settings] | None = None,
    force_exclude: bool = False,
) -> list[str]:
    """Every source file, once, in the order of `paths` and sorted within a directory.

    A file that is named is there, whatever is excluded, unless `force_exclude`; of a file and the links to it, the
    file. A folder that cannot be listed stands for itself: reading it tells why. Raises UsageError for a path that does
    not exist or is a pipe or a device, for a directory without any Python file, and for a bad configuration.
    """
    found: dict[str, str] = {}
    settings_of = settings_of or config.Finder()
    real_folder = cache(os.path.realpath)  # it asks about every folder above a file
    for path in paths:
        for file in _files(path, exclude, settings_of, force_exclude):
            folder, name = os.path.split(file)
            real = os.path.realpath(file) if os.path.islink(file) else os.path.join(real_folder(folder), name)
            if real in found and os.path.islink(found[real]) and not os.path.islink(file):
                del found[real]
            found.setdefault(real, file)
    return list(found.values())


def _files(
    path: str, exclude: Sequence[str], settings_of: Callable[[str], Settings], force_exclude: bool
) -> Iterable[str]:
    if not os.path.lexists(path):
        raise UsageError(f"cannot read `{path}`: no such file or directory")
    if force_exclude and left_out(path, exclude, settings_of(path), patterns.under):
        return ()
    if os.path.isdir(path):
        return _walk(path, exclude, settings_of)
    if _is_special(path):
        raise UsageError(f"cannot read `{path}`: it is a pipe, a socket or a device, not a regular file")
    settings_of(path)  # A configuration that cannot be read stops the run here, and not each of its processes.
    return [path]


def _walk(top: str, exclude: Sequence[str], settings_of: Callable[[str], Settings]) -> Iterator[str]:
    barren = True
    ignored = Ignored(top)
    closed: list[str] = []
    for parent, folders, files in os.walk(top, onerror=lambda error: closed.append(error.filename)):
        settings = settings_of(os.path.join(parent, "*"))

        def stays(name: str, folder: bool, parent: str = parent, settings: Settings = settings) -> bool:
            path = os.path.join(parent, name)
            if left_out(path, exclude, settings, patterns.matches):
                return False
            return not ignored(path, folder)

        folders[:] = sorted(name for name in folders if stays(name, True))
        sources = sorted(name for name in files if name.endswith(SUFFIXES))
        barren = barren and not sources
        for name in sources:
            path = os.path.join(parent, name)
            if stays(name, False) and not _is_special(path):
                yield _shown(path, top)
    # A folder that cannot be listed is reported where it is read, as a file would be.
    yield from (_shown(path, top) for path in closed)
    if barren and not closed:
        raise UsageError(f"no Python file or notebook in the directory `{top}`")


def _shown(path: str, top: str) -> str:
    return path[2:] if top == "." and path != top else path


def _is_special(path: str) -> bool:
    """Is it there, but no regular file: reading it may never end. A link that leads nowhere is reported when read."""
    return not os.path.isfile(path) and os.path.exists(path)


def left_out(
    path: str,
    exclude: Sequence[str],
    settings: Settings,
    match: Callable[[str, str, tuple[str, ...]], bool],
) -> bool:
    """Do `exclude` or the settings leave out a path, as `match` (of `patterns`) understands them."""
    configured = NEVER if settings.exclude is None else settings.exclude
    if match(path, settings.root or "", (*configured, *settings.extend_exclude)):
        return True
    return bool(exclude) and match(path, "", tuple(exclude))
