"""Which of the misuses on the rule pages other linters see: every block under Bad in `rules/`, as a file of its own.

    python benchmarks/other_linters.py [--torchfix PROGRAM]

A line that is marked with a rule counts as seen when the other linter reports anything on it, whatever it calls that.
ruff runs the groups that look for bugs, TorchFix all its rules.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

RULES = Path(__file__).parents[1] / "rules"
BAD = re.compile(r"^## Bad\n(.*?)^## ", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARKER = re.compile(r"  # (NF\d{3})(?: NF\d{3})*$")
REPORTED = re.compile(r"^(.+?):(\d+):\d+:? (\w+)", re.MULTILINE)
BUGS = "A,B,E9,F,PLC,PLE,PLW,RUF,SIM"
"""Groups of ruff that look for mistakes rather than for style."""


def written(folder: Path) -> dict[tuple[str, int], str]:
    """Write the blocks without their markers; the rule of each marked line, by file and line."""
    marked = {}
    for page in sorted(RULES.glob("*.md")):
        for number, block in enumerate(BLOCK.findall("".join(BAD.findall(page.read_text(encoding="utf-8"))))):
            lines = block.splitlines()
            path = folder / f"{page.stem[:5]}_{number}.py"
            marked |= {(path.name, at): hit[1] for at, line in enumerate(lines, 1) if (hit := MARKER.search(line))}
            path.write_text("\n".join(MARKER.sub("", line) for line in lines) + "\n", encoding="utf-8")
    return marked


def seen(command: list[str], folder: Path, marked: dict[tuple[str, int], str]) -> dict[str, set[str]]:
    """The rules of which a marked line was reported, and the codes that it was reported under."""
    run = subprocess.run([*command, *map(str, sorted(folder.iterdir()))], capture_output=True, text=True, check=False)
    found = defaultdict(set)
    for path, line, code in REPORTED.findall(run.stdout):
        if rule := marked.get((Path(path).name, int(line))):
            found[rule].add(code)
    return dict(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torchfix", help="the program, where it is installed")
    options = parser.parse_args()
    normfix = [sys.executable, "-m", "normfix", "lint", "--extend-select", "ALL", "--output-format", "concise"]
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", BUGS, "--output-format", "concise"]
    tools = {"normfix": normfix, "ruff": ruff}
    if options.torchfix:
        tools["TorchFix"] = [options.torchfix, "--select", "ALL"]
    with tempfile.TemporaryDirectory() as name:
        marked = written(Path(name))
        print(f"{len(marked)} marked lines of {len(set(marked.values()))} rules")
        for tool, command in tools.items():
            found = seen(command, Path(name), marked)
            codes = ", ".join(f"{rule} ({' '.join(sorted(found[rule]))})" for rule in sorted(found))
            print(f"{tool:<9}{len(found):>3} rules" + (f": {codes}" if tool != "normfix" else ""))


if __name__ == "__main__":
    main()
