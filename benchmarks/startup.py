"""What starting costs: `normfix lint` on one small file against `python -c "import ast, argparse"`.

Prints the median wall time of alternating runs, and their ratio. The goal is 2.5 at most.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCE = """\
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.bn(self.conv(x)))
"""
SCRIPT = "import re, sys; from normfix.__main__ import run; sys.exit(run())"
"""What pip writes into the console script."""
BARE = [sys.executable, "-c", "import ast, argparse"]


def seconds(command: list[str]) -> float:
    """The wall time of one run, which may find something but must not fail."""
    start = time.perf_counter()
    # An installed package has its byte code.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    code = subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=False).returncode
    if code not in (0, 1):
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=21)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "block.py")
        path.write_text(SOURCE)
        lint = [sys.executable, "-c", SCRIPT, "lint", str(path), "--no-cache"]
        seconds(BARE), seconds(lint)  # write the byte code
        pairs = [(seconds(BARE), seconds(lint)) for _ in range(runs)]
    bare, linted = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"python -c 'import ast, argparse'  {bare * 1000:6.1f} ms")
    print(f"normfix lint block.py             {linted * 1000:6.1f} ms")
    print(f"ratio                             {linted / bare:6.2f}")


if __name__ == "__main__":
    main()
