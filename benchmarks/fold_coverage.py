"""How many batch norm calls each tool takes out of real architectures, how exactly, and in what time.

    python benchmarks/fold_coverage.py [--timm] [--prove full|formula] [--exporter] [--reasons] [--only TEXT]

Calls are counted in the graph that torch.export captures. Errors are relative, in float64, against the model as it
was: `wrong` stands where they exceed 1e-10 (1e-3 for the exporter, whose result runs in float32).
"""

from __future__ import annotations

import argparse
import copy
import logging
import re
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from fold_zoo import Build, randomise, timm_zoo, zoo
from torch import nn

from normfix.proof import runtime
from normfix.proof.measure import Result, distance, run_float64
from normfix.transforms.fold import fold
from normfix.transforms.nodes import operation

NORMS = ("batch_norm", "_native_batch_norm_legit_no_training")


@dataclass
class Row:
    name: str
    calls: int = 0
    fuse: str = "-"
    exporter: str = "-"
    left: str = "-"
    error: str = "-"
    deployed: str = "-"
    forwards: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)


def main() -> None:
    options = _arguments()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    rows = []
    titles = ("calls", 6), ("fx fuse", 16), ("exporter", 16), ("normfix", 9), ("formula", 10), ("deployed", 10)
    print(f"{'model':<28}" + "".join(f"{title:>{width}}" for title, width in titles) + "  seconds")
    for name, build in _models(options):
        row = measure(name, build, options)
        rows.append(row)
        seconds = " ".join(f"{step} {value:.1f}" for step, value in row.seconds.items())
        print(
            f"{row.name:<28}{row.calls:>6}{row.fuse:>16}{row.exporter:>16}{row.left:>9}{row.error:>10}{row.deployed:>10}"
            f"  {seconds} forwards {row.forwards}",
            flush=True,
        )
        kinds = Counter(re.sub(r"`[^`]*[.0-9][^`]*`", "`...`", reason) for reason in row.reasons)
        for reason, times in kinds.most_common() if options.reasons else ():
            print(f"    {times:>4}  {reason}")
    _summary(rows)


def measure(name: str, build: Build, options: argparse.Namespace) -> Row:
    torch.manual_seed(0)
    model, inputs = build()
    randomise(model)
    row = Row(name)
    try:
        row.calls = count(model, inputs)
    except Exception as error:
        row.left = f"no graph: {type(error).__name__}"
        return row
    truth = run_float64(copy.deepcopy(model).double(), inputs, {})
    if not options.own:
        row.fuse = _fuse(model, inputs, truth, row.seconds)
    if options.exporter:
        row.exporter = _exporter(model, inputs, truth, row.seconds)
    try:
        done = fold(model, inputs, merge_branches=options.merge_branches, prove=options.prove)
    except Exception as error:
        row.left, row.error = "crash", f"{type(error).__name__}: {error}"
        return row
    row.seconds.update(done.seconds)
    row.left = str(count(done.model, inputs))
    row.reasons = [refusal.reason for refusal in done.refused]
    row.error, row.forwards = f"{done.proof.formula:.0e}", done.proof.forwards
    row.deployed = "-" if done.proof.deployed is None else f"{done.proof.deployed:.0e}"
    return row


def count(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> int:
    """Batch norm calls in the captured graph."""
    program = torch.export.export(copy.deepcopy(model), inputs, strict=False)
    return sum(operation(node) in NORMS for node in program.graph.nodes)


def _fuse(model: nn.Module, inputs: tuple[torch.Tensor, ...], truth: Result, seconds: dict[str, float]) -> str:
    from torch.fx.experimental.optimization import fuse

    start = time.perf_counter()
    try:
        fused = fuse(copy.deepcopy(model).double())
    except Exception as error:
        return f"fails {type(error).__name__[:9]}"
    finally:
        seconds["fuse"] = time.perf_counter() - start
    wrong = distance(truth.outputs, run_float64(fused, inputs, {}).outputs) > 1e-10
    return f"{count(fused.float(), inputs)}{' wrong' if wrong else ''}"


def _exporter(model: nn.Module, inputs: tuple[torch.Tensor, ...], truth: Result, seconds: dict[str, float]) -> str:
    start = time.perf_counter()
    try:
        with runtime.quiet():
            exported = torch.onnx.export(copy.deepcopy(model), inputs, dynamo=True, verbose=False)
            result = Result([part.cpu() for part in exported(*inputs)])
    except Exception as error:
        return f"fails {type(error).__name__[:9]}"
    finally:
        seconds["exporter"] = time.perf_counter() - start
    left = sum(node.op_type == "BatchNormalization" for node in exported.model.graph)
    return f"{left}{' wrong' if distance(truth.outputs, result.outputs) > 1e-3 else ''}"


def _summary(rows: list[Row]) -> None:
    total = sum(row.calls for row in rows)
    print(f"\n{len(rows)} models, {total} batch norm calls")
    for tool in ("fuse", "exporter", "left"):
        done = [(row, getattr(row, tool).split()) for row in rows if getattr(row, tool) != "-"]
        removed = sum(row.calls - int(words[0]) for row, words in done if words[0].isdigit())
        wrong = sum("wrong" in words for _, words in done)
        failed = sum(not words[0].isdigit() for _, words in done)
        name = "normfix" if tool == "left" else tool
        print(f"  {name:<9} removes {removed}, wrong on {wrong}, fails on {failed} of {len(done)} models")


def _models(options: argparse.Namespace) -> Iterator[tuple[str, Build]]:
    for name, build in timm_zoo() if options.timm else zoo():
        if options.only is None or options.only in name:
            yield name, build


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--timm", action="store_true", help="one model of each timm module that holds a batch norm")
    parser.add_argument("--prove", choices=("full", "formula"), default="formula")
    parser.add_argument("--exporter", action="store_true", help="measure torch.onnx.export, too")
    parser.add_argument("--merge-branches", action="store_true", help="merge norms beside a convolution into it")
    parser.add_argument("--own", action="store_true", help="leave torch.fx fuse out")
    parser.add_argument("--reasons", action="store_true", help="print why norms stayed")
    parser.add_argument("--only", metavar="TEXT", help="only models whose name holds this")
    return parser.parse_args()


if __name__ == "__main__":
    main()
