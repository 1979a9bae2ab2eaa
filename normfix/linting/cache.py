"""Reports of files that were linted before, under the user's cache folder: JSON, never pickle.

An entry is named by the hash of all that its report depends on: the text, its path, the rules, normfix itself. It also
lists the files beside it that were read, with their hashes. What is damaged, or was not written by normfix, is
computed anew; an entry is written aside and renamed, so that runs side by side see all of it or nothing.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256

import normfix
from normfix.findings import Report
from normfix.linting import codec
from normfix.linting.examine import Plan

KEPT_DAYS = 30


def folder() -> str:
    """Where the entries are: NORMFIX_CACHE_DIR, or the cache folder of the platform."""
    given = os.environ.get("NORMFIX_CACHE_DIR")
    if given:
        return given
    from platformdirs import user_cache_dir

    return user_cache_dir("normfix", appauthor=False)


class Cache:
    """The entries that this normfix, under this Python, can use."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.join(folder, _fingerprint()[:16])
        self._hashes: dict[str, str | None] = {}

    def key(self, path: str, data: bytes, plan: Plan) -> str:
        """The name of the entry for a file of this content."""
        described = [
            path,
            os.path.abspath(path),
            sorted(plan.codes),
            sorted(map(repr, plan.options.items())),
            plan.named,
            plan.undecided,
        ]
        return sha256(json.dumps(described).encode() + b"\0" + data).hexdigest()

    def load(self, key: str) -> Report | None:
        """The report, or None where there is no entry, a damaged one, or one that other files have outdated."""
        try:
            with open(self._path(key), "rb") as file:
                entry = json.loads(file.read())
            if entry["key"] != key or not self._is_current(entry["beside"]):
                return None
            return codec.decode(entry["report"])
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None

    def save(self, key: str, report: Report, beside: Iterable[str]) -> None:
        """Keep a report, with the files that it depends on. A cache that cannot be written does no harm."""
        entry = {"key": key, "beside": {path: self._hash(path) for path in beside}, "report": codec.encode(report)}
        path = self._path(key)
        aside = f"{path}.{os.getpid()}"
        with suppress(OSError):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            try:
                with open(aside, "x", encoding="utf-8") as file:
                    json.dump(entry, file)
                os.replace(aside, path)
            except BaseException:
                os.unlink(aside)
                raise

    def _is_current(self, beside: Mapping[str, str | None]) -> bool:
        """Are the files beside a source what they were when it was examined."""
        for path in beside.keys() - self._hashes.keys():
            self._hash(path)
        return beside.items() <= self._hashes.items()

    def _path(self, key: str) -> str:
        return os.path.join(self.folder, key[:2], f"{key[2:]}.json")

    def _hash(self, path: str) -> str | None:
        """The hash of a file's content, read once in a run; None for one that is not there."""
        if path not in self._hashes:
            try:
                with open(path, "rb") as file:
                    self._hashes[path] = sha256(file.read()).hexdigest()
            except OSError:
                self._hashes[path] = None
        return self._hashes[path]


def prune(folder: str) -> None:
    """At most once a day, remove what was written more than KEPT_DAYS ago."""
    stamp = os.path.join(folder, "pruned")
    now = time.time()
    with suppress(OSError):
        if os.path.exists(stamp) and now - os.stat(stamp).st_mtime < 86400:
            return
        with open(stamp, "w", encoding="utf-8"):
            os.utime(stamp)
        for parent, _, files in os.walk(folder):
            for name in files:
                path = os.path.join(parent, name)
                if now - os.stat(path).st_mtime > KEPT_DAYS * 86400:
                    os.unlink(path)


def _fingerprint() -> str:
    """What changes when normfix or Python do: versions, and the size and time of every module."""
    parts = [normfix.__version__, sys.version]
    for parent, folders, files in os.walk(os.path.dirname(normfix.__file__)):
        folders.sort()
        for name in sorted(files):
            if name.endswith(".py"):
                status = os.stat(os.path.join(parent, name))
                parts.append(f"{parent}/{name} {status.st_size} {status.st_mtime_ns}")
    return sha256("\n".join(parts).encode()).hexdigest()
