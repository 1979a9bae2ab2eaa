"""Wall times of TorchFix, ruff check and normfix lint over the installed sources of timm, transformers and monai.

    python benchmarks/lint_speed.py [--packages timm monai] [--torchfix-files 20]

TorchFix is installed into an environment of its own, and run on a sample of the files, as the whole takes minutes; its
time for all is extrapolated by lines. ruff and normfix print one line for each finding. The goals: normfix at most 4
times ruff, below ruff when cached, at least 100 times faster than TorchFix, 1.5 GB for a million lines.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

PACKAGES = ("timm", "transformers", "monai")


def seconds(command: list[str], **environment: str) -> float:
    """The wall time of one run, which may find something but must not fail."""
    start = time.perf_counter()
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    if run.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command[:4])} ended with {run.returncode}: {run.stderr[-500:]}")
    return time.perf_counter() - start


def megabytes(command: list[str]) -> float:
    """The memory of the largest process of a run."""
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(run.pid, 0)
    return usage.ru_maxrss / 1024


def folder_of(package: str) -> Path:
    """Where a package is installed; it is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} is not installed")
    return Path(spec.origin).parent


def torchfix(folder: Path) -> list[str]:
    """The command of a TorchFix that is installed for this run."""
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", "torchfix"], check=True)
    return [str(folder / "bin" / "torchfix"), "--select", "ALL"]


def lines(files: list[Path]) -> int:
    return sum(path.read_bytes().count(b"\n") for path in files)


def measure(package: str, fix: list[str] | None, sample: int, repeat: int) -> None:
    """Print the row of one package."""
    folder = folder_of(package)
    files = sorted(folder.rglob("*.py"))
    total = lines(files)
    shown = ["--exit-zero", "--output-format", "concise", str(folder)]
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--quiet", *shown]
    lint = [sys.executable, "-m", "normfix", "lint", *shown]
    with tempfile.TemporaryDirectory() as cache:
        pairs = [(seconds(ruff), seconds([*lint, "--no-cache"])) for _ in range(repeat)]
        seconds(lint, NORMFIX_CACHE_DIR=cache)
        warm = min(seconds(lint, NORMFIX_CACHE_DIR=cache) for _ in range(repeat))
    memory = megabytes([*lint, "--no-cache"])
    base, cold = (min(times) for times in zip(*pairs, strict=True))
    row = f"{package:<13}{total:>10,}{base:>9.2f}{cold:>9.2f}{cold / base:>7.1f}{warm:>9.2f}{warm / base:>7.2f}"
    row += f"{memory:>7.0f}"
    if fix is not None:
        chosen = random.Random(0).sample(files, min(sample, len(files)))
        whole = seconds([*fix, *map(str, chosen)]) * total / max(lines(chosen), 1)
        row += f"{whole:>11.0f}{whole / cold:>8.0f}"
    print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", nargs="+", default=PACKAGES)
    parser.add_argument("--torchfix-files", type=int, default=20, help="size of the sample; 0 leaves TorchFix out")
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many runs counts")
    options = parser.parse_args()
    print("package           lines     ruff  normfix  ratio   cached  ratio     MB   TorchFix   ratio")
    with tempfile.TemporaryDirectory() as folder:
        fix = torchfix(Path(folder)) if options.torchfix_files else None
        for package in options.packages:
            measure(package, fix, options.torchfix_files, options.repeat)
    print("MB: the largest process of normfix, which runs one for each processor")


if __name__ == "__main__":
    main()
