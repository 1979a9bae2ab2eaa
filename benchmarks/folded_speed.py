"""Is a folded model faster: eager and in ONNX Runtime, side by side with the model as it was.

    python benchmarks/folded_speed.py [--rounds 15] [--threads 2] [--cpu] [--no-runtime]

The models are timed in turn, one forward each a round, so that what else the machine does meets all of them; medians
are printed, and the ratio of the unfolded to the folded one: above 1 folding pays. In ONNX Runtime each model is run
as the default exporter writes it, which folds by itself what it can, with every optimisation on. On a busy machine
`--cpu --threads 1` counts the processor time of this process instead of the time that passes.
"""

from __future__ import annotations

import argparse
import copy
import logging
import time
import warnings
from collections.abc import Callable
from statistics import median

import torch
from fold_zoo import randomise
from torch import nn

from normfix.proof import runtime
from normfix.transforms.fold import fold

Step = Callable[[], object]


def main() -> None:
    options = _arguments()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    print(
        f"{'model':<22}{'norms':>6}{'eager ms':>10}{'folded':>8}{'gain':>6}{'runtime ms':>12}{'folded':>8}{'gain':>6}"
    )
    for name, build in MODELS.items():
        torch.manual_seed(0)
        model = randomise(build())
        inputs = torch.randn(1, 3, 224, 224)
        done = fold(model, inputs, merge_branches=True, prove="formula")
        steps = [_eager(model, inputs), _eager(done.model, inputs)]
        if not options.no_runtime:
            steps += [_runtime(model, inputs, options.threads), _runtime(done.model, inputs, options.threads)]
        before, after, *deployed = timed(steps, options.rounds, time.process_time if options.cpu else time.perf_counter)
        row = f"{name:<22}{len(done.applied):>6}{before:>10.1f}{after:>8.1f}{before / after:>6.2f}"
        if deployed:
            row += f"{deployed[0]:>12.1f}{deployed[1]:>8.1f}{deployed[0] / deployed[1]:>6.2f}"
        print(row, flush=True)


def timed(steps: list[Step], rounds: int, clock: Callable[[], float]) -> list[float]:
    """The median time of each step in milliseconds, taken in turn, the first two rounds left out."""
    seconds: list[list[float]] = [[] for _ in steps]
    for number in range(rounds + 2):
        for step, found in zip(steps, seconds, strict=True):
            start = clock()
            step()
            if number >= 2:
                found.append(clock() - start)
    return [1000 * median(found) for found in seconds]


def _eager(model: nn.Module, inputs: torch.Tensor) -> Step:
    def step() -> object:
        with torch.inference_mode():
            return model(inputs)

    return step


def _runtime(model: nn.Module, inputs: torch.Tensor, threads: int) -> Step:
    import onnxruntime

    with runtime.quiet():
        exported = torch.onnx.export(copy.deepcopy(model), (inputs,), dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        exported.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    fed = {session.get_inputs()[0].name: inputs.numpy()}
    return lambda: session.run(None, fed)


def _timm(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import timm

        model: nn.Module = timm.create_model(name)
        return model

    return build


def _torchvision(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import torchvision

        model: nn.Module = torchvision.models.get_model(name)
        return model

    return build


MODELS: dict[str, Callable[[], nn.Module]] = {
    "resnet50": _torchvision("resnet50"),
    "mobilenet_v2": _torchvision("mobilenet_v2"),
    "efficientnet_b0": _torchvision("efficientnet_b0"),
    "densenet121": _torchvision("densenet121"),
    "levit_128s": _timm("levit_128s"),
    "repghostnet_050": _timm("repghostnet_050"),
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu", action="store_true", help="processor time, not the time that passes")
    parser.add_argument("--no-runtime", action="store_true", help="leave ONNX Runtime out, whose export takes minutes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
