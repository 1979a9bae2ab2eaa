"""The time of `normfix lint --fix` beside that of `normfix lint`, on trees with few findings.

    python benchmarks/fix_speed.py [FOLDER...]     # default: the installed sources of torchvision

Each folder is copied; every run starts from a fresh copy, without the cache. libcst is loaded only where an argument
of a call changes, and parses only that call.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

REPEATS = 3
LINT = [sys.executable, "-m", "normfix", "lint", "--no-cache", "--exit-zero"]


def main(folders: list[str]) -> int:
    libcst = min(seconds([sys.executable, "-c", "import libcst"]) for _ in range(REPEATS))
    empty = min(seconds([sys.executable, "-c", ""]) for _ in range(REPEATS))
    print(f"importing libcst takes {libcst - empty:.2f} s\n")
    print(
        f"{'tree':20} {'files':>6} {'lint':>8} {'lint --fix':>11} {'fixed files':>12} {'seconds more':>13} {'ratio':>6}"
    )
    for folder in map(Path, folders or [installed("torchvision")]):
        row(folder)
    return 0


def row(folder: Path) -> None:
    lint, fix, changed, files = [], [], 0, 0
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as scratch:
            copied = Path(scratch) / folder.name
            shutil.copytree(folder, copied, ignore=shutil.ignore_patterns("*.so", "*.bin", "__pycache__"))
            before = {path: path.read_bytes() for path in copied.rglob("*.py")}
            lint.append(seconds([*LINT, str(copied)]))
            fix.append(seconds([*LINT, "--fix", "--unsafe-fixes", str(copied)]))
            files, changed = len(before), sum(path.read_bytes() != data for path, data in before.items())
    more = min(fix) - min(lint)
    print(
        f"{folder.name:20} {files:6} {min(lint):7.2f}s {min(fix):10.2f}s {changed:12} {more:13.2f} "
        f"{min(fix) / min(lint):6.2f}"
    )


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def installed(package: str) -> str:
    found = find_spec(package)
    assert found is not None and found.origin is not None, f"{package} is not installed"
    return str(Path(found.origin).parent)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
