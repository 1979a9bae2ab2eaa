"""Checks every architecture of `architectures.py`, for inference and for training: its time against one eager forward
and against torch.export alone, and what was found.

python benchmarks/check_models.py [WORD ...] [--findings]     # only names that hold one of the words
"""

from __future__ import annotations

import resource
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable

import architectures
import torch

import normfix
from normfix import norms
from normfix.findings import Report
from normfix.readers.live.kinds import kind_of

HEADER = (
    f"{'architecture':46} {'norms':>5} {'forward':>8} {'export':>8} {'check':>8} {'ratio':>6} {'training':>8}  findings"
)
BATCH = 32
"""Samples per device of the planned training run."""


def main(words: list[str]) -> None:
    """Print one row for each architecture, and each finding where `--findings` asks for it."""
    shown = "--findings" in words
    words = [word for word in words if not word.startswith("--")]
    warnings.simplefilter("ignore")
    torch.export.export(torch.nn.ReLU(), (torch.ones(1),))  # the first export loads the exporter
    print(HEADER)
    ratios = [
        row(name, build, shown)
        for name, build in architectures.all_architectures()
        if not words or any(word in name for word in words)
    ]
    ratios = sorted(ratio for ratio in ratios if ratio)
    if ratios:
        print(f"check / torch.export alone: median {ratios[len(ratios) // 2]:.2f}, most {ratios[-1]:.2f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def row(name: str, build: architectures.Builder, shown: bool) -> float:
    """Measure one architecture: in eval mode for inference, in train mode for training. The ratio of the first to an
    export alone."""
    torch.manual_seed(0)
    model, inputs = build()
    positional, keywords = ((), inputs) if isinstance(inputs, dict) else (inputs, {})
    with torch.no_grad():
        forward, _ = clock(lambda: model.eval()(*positional, **keywords))
    clock(lambda: torch.export.export(model, positional, keywords, strict=False))  # the first is slower than the next
    inference, report = clock(lambda: normfix.check(model, inputs, purpose="inference"))
    export, _ = clock(lambda: torch.export.export(model, positional, keywords, strict=False))
    training, other = clock(lambda: normfix.check(model.train(), inputs, purpose="training", batch_size=BATCH))
    count = sum(kind_of(module)[0] in norms.NORMS for module in model.modules())
    ratio = inference / export if export else 0.0
    seconds = f"{forward:8.2f} {export:8.2f} {inference:8.2f} {ratio:6.2f} {training:8.2f}"
    print(f"{name:46} {count:5d} {seconds}  {codes(report)} | {codes(other)}", flush=True)
    for purpose, one in (("inference", report), ("training", other)):
        for finding in one.findings if shown and isinstance(one, Report) else ():
            print(f"    {purpose} {finding.severity} {finding.code} {finding.module}: {finding.message}")
    return ratio


def codes(report: object) -> str:
    """How often each rule was met; the error of a check that raised."""
    if not isinstance(report, Report):
        return f"RAISED {report}"
    counted = Counter(finding.code for finding in report.findings)
    return " ".join([*(f"{code}x{number}" for code, number in sorted(counted.items())), *map(str, report.errors)])


def clock(work: Callable[[], object]) -> tuple[float, object]:
    """Seconds that `work` takes, and its result; 0 and the error where it raises."""
    start = time.perf_counter()
    try:
        result = work()
    except Exception as error:  # a row of its own is what tells of it
        return 0.0, repr(error)
    return time.perf_counter() - start, result


if __name__ == "__main__":
    main(sys.argv[1:])
