"""The source files behind the paths that were given: files as they are, directories walked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from normfix.errors import UsageError

SUFFIXES = (".py", ".pyw", ".ipynb")
NEVER = frozenset(
    ".bzr .direnv .eggs .git .git-rewrite .hg .ipynb_checkpoints .mypy_cache .nox .pants.d .pyenv .pytest_cache "
    ".pytype .ruff_cache .svn .tox .venv .vscode __pycache__ __pypackages__ _build buck-out build dist node_modules "
    "site-packages venv".split()
)
"""Names of folders that are not walked into; ruff leaves out the same ones."""


def find(paths: Iterable[str]) -> list[str]:
    """Every source file, once, in the order of `paths` and sorted within a directory.

    Raises UsageError for a path that does not exist, and for a directory without any Python file.
    """
    found: dict[str, str] = {}
    for path in paths:
        for file in _files(path):
            found.setdefault(os.path.realpath(file), file)
    return list(found.values())


def _files(path: str) -> Sequence[str]:
    if os.path.isdir(path):
        files = list(_walk(path))
        if not files:
            raise UsageError(f"no Python file or notebook in the directory `{path}`")
        return files
    if not os.path.exists(path):
        raise UsageError(f"cannot read `{path}`: no such file or directory")
    return [path]


def _walk(folder: str) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in NEVER)
        for name in sorted(files):
            if name.endswith(SUFFIXES):
                path = os.path.join(parent, name)
                yield path[2:] if folder == "." else path
