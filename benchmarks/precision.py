"""Draws findings at random, to be read by hand: how often is the linter right in code that nobody wrote for it?

    python benchmarks/precision.py FOLDER... [--seed 0] [--total 200] [--each 12] [--read EARLIER]

Each folder is one package; `EARLIER` is what a run before printed, whose findings are not drawn again.

Every rule that fired gives up to `--each` findings, the most frequent one fills up to `--total`. A finding's place in
the draw is a hash of the seed and of where it stands, so that a finding more or less leaves the others where they were.
Printed are, for each, its place, its message and the lines around it; at the end the counts of all rules.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

# The rules that are off by default are drawn too.
OFF = "NF208"


@dataclass(frozen=True)
class Found:
    folder: Path
    code: str
    message: str
    path: Path
    line: int
    """0 for what is said of a whole file."""
    column: int

    @property
    def place(self) -> str:
        """Where it stands, the same on every machine."""
        return f"{self.folder.name}/{self.path.relative_to(self.folder)}:{self.line}"

    def rank(self, seed: int) -> bytes:
        return hashlib.sha256(f"{seed} {self.code} {self.place}:{self.column}".encode()).digest()


def linted(folder: Path, jobs: int) -> list[Found]:
    """What the linter says of a package."""
    words = f"--no-cache --extend-select {OFF} --output-format json --jobs {jobs}".split()
    run = subprocess.run(
        [sys.executable, "-m", "normfix", "lint", str(folder), *words], capture_output=True, text=True, check=False
    )
    if run.returncode not in (0, 1):
        raise SystemExit(f"{folder}: {run.stderr[-500:]}")
    return parsed(folder, run.stdout)


def parsed(folder: Path, text: str) -> list[Found]:
    return [
        Found(folder, one["code"], one["message"], Path(one["path"]), one["line"] or 0, one["column"] or 0)
        for one in json.loads(text)["findings"]
    ]


def drawn(found: list[Found], seed: int, total: int, each: int) -> list[Found]:
    """The sample: some of each rule, and as many of the most frequent one as are left."""
    rules: dict[str, list[Found]] = defaultdict(list)
    for one in sorted(found, key=lambda one: one.rank(seed)):
        rules[one.code].append(one)
    most = max(rules, key=lambda code: len(rules[code]), default="")
    rest = [one for code in sorted(rules) if code != most for one in rules[code][:each]]
    return [*rest, *rules.get(most, [])[: max(total - len(rest), 0)]]


def read_before(text: str) -> set[tuple[str, str]]:
    """The rules and places that an earlier run printed."""
    return set(re.findall(r"^\[\d+\] (NF\d+) (\S+)$", text, re.MULTILINE))


def frame(one: Found, around: int) -> str:
    lines = one.path.read_text(encoding="utf-8", errors="replace").splitlines()
    first = max(one.line - 1 - around, 0)
    shown = enumerate(lines[first : one.line + around], first + 1)
    return "\n".join(f"{'>' if number == one.line else ' '}{number:5} | {line}" for number, line in shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--total", type=int, default=200)
    parser.add_argument("--each", type=int, default=12, help="how many of each rule, but for the most frequent one")
    parser.add_argument("--read", type=Path, help="what an earlier run printed")
    parser.add_argument("--around", type=int, default=8, help="lines shown before and after")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    found = [one for folder in options.folders for one in linted(folder.absolute(), options.jobs)]
    before = read_before(options.read.read_text(encoding="utf-8")) if options.read else set()
    new = [one for one in found if (one.code, one.place) not in before]
    sample = drawn(new, options.seed, options.total, options.each)
    for number, one in enumerate(sample, 1):
        print(f"\n[{number}] {one.code} {one.place}\n{one.message}\n{frame(one, options.around)}")
    counts, read = Counter(one.code for one in found), Counter(one.code for one in sample)
    print("\nrule   findings  drawn")
    for code, count in sorted(counts.items()):
        print(f"{code}{count:10}{read[code]:7}")


if __name__ == "__main__":
    main()
