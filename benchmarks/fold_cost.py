"""What folding with its proof in float64 costs, against the capture, and against what such a proof cannot do without.

    python benchmarks/fold_cost.py [--rounds 3] [--only TEXT] [--prove formula|none]

Each model is captured by torch.export, run once in float64 on the inputs that it is given, and folded, in turn:
processor seconds of one thread, the least of all rounds. `whole` is the fold with its proof, and the next three columns
are the steps of `Rewrite.seconds` that make it up. The first ratio is that of the whole to the capture. The second is
to the capture and two passes in float64, one of either model, since the given inputs are always proven at full size.
"""

from __future__ import annotations

import argparse
import copy
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from unittest.mock import patch

import torch
from fold_zoo import Build, randomise, zoo
from torch import nn

from normfix.rewrites import Rewrite
from normfix.transforms.fold import fold

Inputs = tuple[torch.Tensor, ...]
TORCHVISION = ("resnet18", "resnet50", "vgg16_bn", "mobilenet_v2", "efficientnet_b0", "densenet121")
TIMM = ("convmixer_768_32", "levit_128s", "repghostnet_050")
ZOO = ("transformers ResNet", "monai DenseNet121", "monai VNet")


def main() -> None:
    options = _arguments()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    _fold(randomise(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))), (torch.randn(1, 3, 8, 8),), options.prove)
    titles = "export", "float64", "whole", "capture", "fold", "formula", "whole/export", "whole/least"
    print(f"{'model':<22}{'norms':>6}" + "".join(f"{title:>{len(title) + 3}}" for title in titles))
    for name, build in models():
        if options.only is None or options.only in name:
            print(f"{name:<22}" + row(build, options.rounds, options.prove), flush=True)


def row(build: Build, rounds: int, prove: str) -> str:
    """The figures of one model, seconds and ratios."""
    torch.manual_seed(0)
    model, inputs = build()
    randomise(model)
    wide, widened = copy.deepcopy(model).double(), tuple(part.double() for part in inputs)
    copied = copy.deepcopy(model)
    done: list[Rewrite] = []
    steps: list[Callable[[], object]] = [
        lambda: torch.export.export(copied, inputs, strict=False),
        lambda: _pass(wide, widened),
        lambda: done.append(_fold(model, inputs, prove)),
    ]
    seconds: list[list[float]] = [[] for _ in steps]
    for _ in range(rounds):
        for step, found in zip(steps, seconds, strict=True):
            found.append(_seconds(step))
    export, forward, whole = (min(found) for found in seconds)
    best = min(done, key=lambda rewrite: sum(rewrite.seconds.values()))
    parts = "".join(f"{best.seconds[part]:>{len(part) + 3}.2f}" for part in ("capture", "fold", "formula"))
    ratios = f"{whole / export:>15.1f}{whole / (export + 2 * forward):>14.1f}"
    return f"{len(best.applied):>6}{export:>9.2f}{forward:>10.2f}{whole:>8.2f}{parts}{ratios}"


def models() -> Iterator[tuple[str, Build]]:
    """Twelve models, by name."""
    import timm
    import torchvision

    for name in TORCHVISION:
        yield name, lambda name=name: (torchvision.models.get_model(name), (torch.randn(1, 3, 224, 224),))
    for name in TIMM:
        yield f"timm {name}", lambda name=name: (timm.create_model(name), (torch.randn(1, 3, 224, 224),))
    yield from ((name, build) for name, build in zoo() if name in ZOO)


def _pass(model: nn.Module, inputs: Inputs) -> None:
    with torch.no_grad():
        model(*inputs)


def _fold(model: nn.Module, inputs: Inputs, prove: str) -> Rewrite:
    with patch.object(time, "perf_counter", time.process_time):  # the steps are told in the time of the whole
        return fold(model, inputs, prove=prove)


def _seconds(step: Callable[[], object]) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="models whose name holds this text")
    parser.add_argument("--prove", default="formula", choices=("formula", "none"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
