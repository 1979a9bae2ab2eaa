"""Files are old or new, never something between, and keep all but their bytes."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from normfix import UsageError, files


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.py"
    path.write_bytes(b"old\r\n")
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_that_changed_meanwhile_is_left_alone(file: Path) -> None:
    before = files.read(str(file))
    file.write_bytes(b"edited by somebody\n")
    with pytest.raises(OSError, match="changed while"):
        files.rewrite(before, b"new")
    assert file.read_bytes() == b"edited by somebody\n"
    assert names(file.parent) == ["model.py"]


def test_a_link_that_leads_elsewhere_meanwhile_is_left_alone(file: Path) -> None:
    link = file.with_name("link.py")
    link.symlink_to("model.py")
    before = files.read(str(link))
    other = file.with_name("other.py")
    other.write_bytes(b"old\r\n")
    link.unlink()
    link.symlink_to("other.py")
    with pytest.raises(OSError, match="changed while"):
        files.rewrite(before, b"new")
    assert file.read_bytes() == other.read_bytes() == b"old\r\n"


def test_a_file_that_went_away_is_not_brought_back(file: Path) -> None:
    before = files.read(str(file))
    file.unlink()
    with pytest.raises(FileNotFoundError):
        files.rewrite(before, b"new")
    assert names(file.parent) == []


def test_a_read_only_file_is_left_alone_even_by_root(file: Path) -> None:
    file.chmod(0o444)
    with pytest.raises(PermissionError, match="read-only"):
        files.rewrite(files.read(str(file)), b"new")
    assert file.read_bytes() == b"old\r\n"


def test_a_full_disk_leaves_the_original(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.rewrite(files.read(str(file)), b"new")
    assert file.read_bytes() == b"old\r\n"
    assert names(file.parent) == ["model.py"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of a file")
def test_a_disk_that_fills_while_writing_leaves_the_original(file: Path) -> None:
    script = (
        "import resource, signal, sys\n"
        "from normfix import files\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: files.rewrite(files.read(sys.argv[1]), b'x' * 5000)\n"
        "except OSError as error: print(error.strerror)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, file], capture_output=True, text=True, check=True)
    assert "large" in done.stdout
    assert file.read_bytes() == b"old\r\n"
    assert names(file.parent) == ["model.py"]


@pytest.mark.parametrize("mode", [0o644, 0o755, 0o600, 0o4711])
def test_the_mode_is_kept(file: Path, mode: int) -> None:
    file.chmod(mode)
    files.rewrite(files.read(str(file)), b"new")
    assert file.stat().st_mode & 0o7777 == mode
    assert file.read_bytes() == b"new"


def test_symlinks_stay_and_their_target_changes(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    link, chain = folder / "link.py", tmp_path / "chain.py"
    link.symlink_to("../model.py")
    chain.symlink_to("folder/link.py")
    files.rewrite(files.read(str(chain)), b"new")
    assert chain.is_symlink() and link.is_symlink() and file.read_bytes() == b"new"
    assert names(folder) == ["link.py"]


def test_other_hard_links_keep_the_old_file(file: Path) -> None:
    other = file.with_name("other.py")
    os.link(file, other)
    assert files.links(file) == 1
    files.rewrite(files.read(str(file)), b"new")
    assert (file.read_bytes(), other.read_bytes(), files.links(file)) == (b"new", b"old\r\n", 0)


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="needs extended attributes")
def test_extended_attributes_are_kept(file: Path) -> None:
    try:
        os.setxattr(file, "user.note", b"kept")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    files.rewrite(files.read(str(file)), b"new")
    assert os.getxattr(file, "user.note") == b"kept"


def test_a_long_name_that_is_not_ascii_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / f"{'ü' * 120}.py"
    path.write_bytes(b"old")
    files.rewrite(files.read(str(path)), b"new")
    assert path.read_bytes() == b"new"


def test_what_a_killed_run_left_is_swept(file: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    stem = files._stem(file)
    dead, alive = file.with_name(f"{stem}{process.pid}-aa"), file.with_name(f"{stem}{os.getpid()}-bb")
    dead.touch()
    alive.touch()
    files.rewrite(files.read(str(file)), b"new")
    assert names(file.parent) == sorted(["model.py", alive.name])


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_run_leaves_every_file_old_or_new(tmp_path: Path) -> None:
    """benchmarks/kill_fix.py does this 500 times with the whole program."""
    paths = [tmp_path / f"{number}.py" for number in range(100)]
    script = (
        "import sys\nfrom normfix import files\nprint('ready', flush=True)\n"
        "for path in sys.argv[1:]:\n    files.rewrite(files.read(path), b'new' * 10000)\n"
    )
    for round_ in range(8):
        for path in paths:
            path.write_bytes(b"old" * 10000)
        run = subprocess.Popen([sys.executable, "-c", script, *map(str, paths)], stdout=subprocess.PIPE)
        assert run.stdout is not None
        run.stdout.readline()
        time.sleep(0.002 * round_)
        run.kill()
        run.wait()
        run.stdout.close()
        assert {path.read_bytes() for path in paths} <= {b"old" * 10000, b"new" * 10000}


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["a directory", "a pipe"])
def test_only_a_regular_file_is_replaced(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "there")
    before = (tmp_path / "there").stat()
    with pytest.raises(UsageError, match=r"cannot write `.*there`: it is a "):
        files.put(tmp_path / "there", b"new")
    assert (tmp_path / "there").stat() == before
    assert names(tmp_path) == ["there"]


def test_a_new_file_is_put_where_a_link_leads(file: Path) -> None:
    link = file.with_name("link.py")
    link.symlink_to("model.py")
    files.put(link, b"new")
    assert link.is_symlink() and file.read_bytes() == b"new"
    assert names(file.parent) == ["link.py", "model.py"]


def test_a_disk_that_is_full_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(UsageError, match=r"model\.py`: No space left on device"):
        files.put(file, b"new")
    assert file.read_bytes() == b"old\r\n"
    assert names(file.parent) == ["model.py"]
