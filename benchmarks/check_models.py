"""Checks every architecture of `architectures.py`: time against torch.export alone, and what was found.

python benchmarks/check_models.py [WORD ...] [--findings]     # only names that hold one of the words
"""

from __future__ import annotations

import resource
import sys
import time
import warnings
from collections import Counter

import architectures
import torch

import normfix
from normfix import norms
from normfix.readers.model import capture

HEADER = (
    f"{'architecture':46} {'norms':>5} {'forward':>8} {'export':>8} {'capture':>8} {'check':>8} {'ratio':>6}  findings"
)


def main(words: list[str]) -> None:
    """Print one row for each architecture, and each finding where `--findings` asks for it."""
    shown = "--findings" in words
    words = [word for word in words if not word.startswith("--")]
    warnings.simplefilter("ignore")
    print(HEADER)
    for name, build in architectures.all_architectures():
        if not words or any(word in name for word in words):
            row(name, build, shown)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def row(name: str, build: architectures.Builder, shown: bool) -> None:
    """Measure one architecture, in eval mode for the time of export, in train mode for the findings."""
    torch.manual_seed(0)
    model, inputs = build()
    positional, keywords = ((), inputs) if isinstance(inputs, dict) else (inputs, {})
    with torch.no_grad():
        forward = clock(lambda: model(*positional, **keywords))
    export = clock(lambda: torch.export.export(model, positional, keywords, strict=False))
    start = time.perf_counter()
    found = capture(model, inputs)
    captured = time.perf_counter() - start
    count = sum(call.kind in norms.NORMS for call in found.graph.calls)
    start = time.perf_counter()
    report = normfix.check(model, inputs, purpose="training", batch_size=32)
    checked = time.perf_counter() - start
    codes = Counter(finding.code for finding in report.findings)
    text = " ".join(f"{code}x{number}" for code, number in sorted(codes.items()))
    ratio = f"{captured / export:6.2f}" if export else "     -"
    seconds = f"{forward:8.2f} {export:8.2f} {captured:8.2f} {checked:8.2f}"
    print(f"{name:46} {count:5d} {seconds} {ratio}  {text} {found.reason}", flush=True)
    if shown:
        for finding in report.findings:
            print(f"    {finding.severity} {finding.code} {finding.module}: {finding.message}")


def clock(work: object) -> float:
    """Seconds that `work` takes; 0 where it raises."""
    start = time.perf_counter()
    try:
        work()  # type: ignore[operator]  # a function without arguments
    except Exception:  # a row of its own is what tells of it
        return 0.0
    return time.perf_counter() - start


if __name__ == "__main__":
    main(sys.argv[1:])
