"""Writing a file so that, whatever happens, it is either the old one or the new one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from normfix.errors import UsageError


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The bytes of a file when it was read, and the file that its name led to through symlinks."""

    path: Path
    target: Path
    data: bytes


def read(path: str | Path) -> Snapshot:
    """Raises OSError."""
    target = Path(path).resolve()
    return Snapshot(Path(path), target, target.read_bytes())


def links(path: str | Path) -> int:
    """How many other hard links lead to this file. Raises OSError."""
    return Path(path).stat().st_nlink - 1


def require_room(path: str | Path) -> None:
    """Raises UsageError for a path at which no file can be put, before any work is done."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        what = "a directory" if target.is_dir() else "a pipe, a socket or a device"
        raise UsageError(f"cannot write `{path}`: it is {what}")
    if target.exists() and not os.access(target, os.W_OK):
        raise UsageError(f"cannot write `{path}`: it is read-only")
    if not target.parent.is_dir():
        raise UsageError(f"cannot write `{path}`: there is no folder `{target.parent}`")
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"cannot write `{path}`: the folder `{target.parent}` is read-only")


def put(path: str | Path, data: bytes) -> None:
    """Make a file of these bytes, in one step; a file that is there, or that a link there leads to, is replaced.

    Raises UsageError; what was there is then as it was.
    """
    require_room(path)
    target = Path(os.path.realpath(path))
    try:
        with _beside(target, 0o666) as (new, file):
            with file:
                file.write(data)
            new.replace(target)
    except OSError as error:
        raise UsageError(f"cannot write `{path}`: {error.strerror or error}") from error


def rewrite(old: Snapshot, data: bytes) -> None:
    """Put `data` in place of the file, if it still holds what was read.

    Written to a file beside it, which then takes its name, owner, mode and extended attributes. Other hard links keep
    the old file: to write through them would be to write in place, and a copy in a package store or a snapshot would
    change as well. Raises OSError, also when the file changed meanwhile, is read-only, or belongs to somebody else; it
    is then as it was.
    """
    status = old.target.stat()
    if not status.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(old.target, os.W_OK):
        raise PermissionError("it is read-only")
    _sweep(old.target)
    with _beside(old.target) as (new, file):
        with file:
            file.write(data)
            file.flush()
            _copy_attributes(old.target, file.fileno(), status)
            os.fsync(file.fileno())
        if read(old.path) != old:
            raise OSError("it changed while it was being fixed")
        new.replace(old.target)
    _sync_folder(old.target.parent)


@contextmanager
def _beside(target: Path, mode: int = 0o600) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file in the same folder; gone afterwards unless it was renamed."""
    path = target.with_name(f"{_stem(target)}{os.getpid()}-{os.urandom(4).hex()}")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield path, file
    finally:
        path.unlink(missing_ok=True)


def _stem(target: Path) -> str:
    """How the names of files beside this one begin; short, whatever its own name is."""
    return f".normfix-{crc32(os.fsencode(target.name)):08x}-"


def _copy_attributes(target: Path, descriptor: int, status: os.stat_result) -> None:
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):
        os.chown(descriptor, status.st_uid, status.st_gid)
    if hasattr(os, "listxattr"):
        with suppress(OSError):  # not every file system has them
            for name in os.listxattr(target):
                os.setxattr(descriptor, name, os.getxattr(target, name))
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, stat.S_IMODE(status.st_mode))


def _sweep(target: Path) -> None:
    """Remove what killed runs left beside this file."""
    for path in target.parent.glob(f"{_stem(target)}*"):
        process = path.name.split("-")[2]
        if process.isdigit() and not _alive(int(process)):
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    if os.name != "posix":
        return True  # signal 0 is a real one elsewhere
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _sync_folder(folder: Path) -> None:
    """So that the new name survives a power failure, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
