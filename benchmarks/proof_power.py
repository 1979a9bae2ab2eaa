"""How often the proof is mistaken: wrong rewrites, made by mutation, that it accepts, and right ones that it refuses.

    python benchmarks/proof_power.py [--wrong 500] [--right 500]

Two proofs are measured: the one of `fold`, which redoes the rewrite in float64 (every other time on smaller images
besides the given one, in few batches, as it does for large ones), and `verify`, which is given the two float32 models
only.
"""

from __future__ import annotations

import argparse
import copy
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from normfix.proof.proving import Proving, Seen
from normfix.transforms import folding
from normfix.transforms.base import Edit, SetTensor, apply
from normfix.transforms.flow import Flow, Trace
from normfix.transforms.rewriting import capture, state_of

CHANNELS = 6
Mutation = Callable[[nn.Module, random.Random], None]


@dataclass(frozen=True)
class Case:
    model: nn.Module
    trace: Trace
    inputs: torch.Tensor


class Block(nn.Module):
    """Two branches that are added, with a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.BatchNorm2d(CHANNELS))
        self.b = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.BatchNorm2d(CHANNELS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.a(x) + 2 * self.b(x)).relu() + x


def cases(number: int) -> Iterator[Case]:
    """Random networks of one to four blocks, of several widths of statistics and eps."""
    for seed in range(number):
        chance = random.Random(seed)
        torch.manual_seed(seed)
        layers: list[nn.Module] = [nn.Conv2d(3, CHANNELS, 3), nn.BatchNorm2d(CHANNELS, eps=chance.choice([1e-5, 1e-3]))]
        layers += [Block() for _ in range(chance.randint(0, 3))]
        layers += [nn.ConvTranspose2d(CHANNELS, CHANNELS, 3), nn.BatchNorm2d(CHANNELS), nn.ReLU()]
        model = nn.Sequential(*layers).eval()
        for norm in norms(model):
            nn.init.normal_(norm.running_mean, std=chance.choice([0.1, 1.0]))
            nn.init.uniform_(norm.running_var, 0.05, 2.0)
            nn.init.normal_(norm.weight, mean=chance.choice([0.0, 1.0]))
            nn.init.normal_(norm.bias)
        inputs = torch.randn(2, 3, 8, 8)
        yield Case(model, Trace.of(capture(copy.deepcopy(model), (inputs,), None, "measuring")), inputs)


def norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def _one(model: nn.Module, chance: random.Random) -> nn.BatchNorm2d:
    return chance.choice(norms(model))


def _eps_forgotten(model: nn.Module, chance: random.Random) -> None:
    for norm in norms(model):
        norm.running_var.sub_(norm.eps)  # the graph holds eps as it was: this is what remains without it


def _eps_of_another_library(model: nn.Module, chance: random.Random) -> None:
    norm = _one(model, chance)
    norm.running_var.add_((1e-3 if norm.eps != 1e-3 else 1e-5) - norm.eps)


def _stale_mean(model: nn.Module, chance: random.Random) -> None:
    _one(model, chance).running_mean.mul_(0.99)


def _stale_variance(model: nn.Module, chance: random.Random) -> None:
    norm = _one(model, chance)
    norm.running_var.mul_(0.99).add_(0.01)


def _sign_of_one_channel(model: nn.Module, chance: random.Random) -> None:
    with torch.no_grad():
        _one(model, chance).weight[chance.randrange(CHANNELS)].neg_()


def _one_channel_by_a_thousandth(model: nn.Module, chance: random.Random) -> None:
    with torch.no_grad():
        _one(model, chance).weight[chance.randrange(CHANNELS)].mul_(1.001)


def _channels_rolled(model: nn.Module, chance: random.Random) -> None:
    norm = _one(model, chance)
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.copy_(tensor.roll(1))


def _norms_swapped(model: nn.Module, chance: random.Random) -> None:
    first, second = chance.sample(norms(model), 2)
    state = copy.deepcopy(first.state_dict())
    first.load_state_dict(second.state_dict())
    second.load_state_dict(state)


def _beta_lost(model: nn.Module, chance: random.Random) -> None:
    nn.init.zeros_(_one(model, chance).bias)


def _bias_lost(model: nn.Module, chance: random.Random) -> None:
    convolutions = [module for module in model.modules() if isinstance(module, nn.modules.conv._ConvNd)]
    nn.init.zeros_(chance.choice(convolutions).bias)


MUTATIONS: tuple[Mutation, ...] = (
    _eps_forgotten, _eps_of_another_library, _stale_mean, _stale_variance, _sign_of_one_channel,
    _one_channel_by_a_thousandth, _channels_rolled, _norms_swapped, _beta_lost, _bias_lost,
)  # fmt: skip


def edits(case: Case, mutate: Mutation | None, chance: random.Random) -> list[Edit]:
    """The edits of a fold; of one that was worked out on a mutated model, or with its kernels transposed."""
    planned = copy.deepcopy(case.model)
    if mutate is not None:
        mutate(planned, chance)
    return folding.plan(Flow(planned, case.trace), state_of(planned)).edits


def _axis_swapped(made: list[Edit], chance: random.Random) -> list[Edit]:
    square = [e for e in made if isinstance(e, SetTensor) and e.value.dim() == 4 and e.value.shape[0] == CHANNELS]
    square = [e for e in square if e.value.shape[1] == CHANNELS]
    chosen = chance.choice(square)
    return [SetTensor(e.name, e.value.transpose(0, 1), e.like) if e is chosen else e for e in made]


def proven(case: Case, made: list[Edit], redo: bool, small: bool = False) -> tuple[bool, float]:
    """Does the proof hold, and how wrong is the rewrite in float64."""
    new = apply(made, copy.deepcopy(case.model))
    cut = ((case.inputs[..., :5, :5].contiguous(),), {}) if small else None
    proving = Proving(case.inputs, None, "formula", seen=Seen(cut=cut, together=small))
    proving.old(copy.deepcopy(case.model), None, (lambda wide: apply(made, wide)) if redo else None)
    proving.new(new)
    proof = proving.judge()
    return proof.holds, proof.formula or 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wrong", type=int, default=500)
    parser.add_argument("--right", type=int, default=500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    pool = list(cases(50))
    chance = random.Random(0)
    tried, missed = Counter[str](), {True: Counter[str](), False: Counter[str]()}
    smallest = 1.0
    while sum(tried.values()) < options.wrong:
        case = chance.choice(pool)
        mutate = chance.choice((*MUTATIONS, None))
        name = mutate.__name__.strip("_") if mutate else "axis_swapped"
        made = edits(case, mutate, chance) if mutate else _axis_swapped(edits(case, None, chance), chance)
        holds, error = proven(case, made, redo=True, small=sum(tried.values()) % 2 == 1)
        if error < 1e-13:  # this mutation changed nothing (a gamma of zero, say)
            continue
        tried[name] += 1
        smallest = min(smallest, error)
        missed[True][name] += holds
        missed[False][name] += proven(case, made, redo=False)[0]
    print(f"{'mutation':<30}{'wrong':>7}{'accepted by fold':>18}{'by verify':>11}")
    for name, count in sorted(tried.items()):
        print(f"{name:<30}{count:>7}{missed[True][name]:>18}{missed[False][name]:>11}")
    total = sum(tried.values())
    accepted = {redo: sum(counts.values()) for redo, counts in missed.items()}
    print(f"{'all':<30}{total:>7}{accepted[True]:>18}{accepted[False]:>11}")
    print(f"refused: fold {1 - accepted[True] / total:.2%}, verify {1 - accepted[False] / total:.2%}")
    print(f"the smallest mistake was {smallest:.0e}")
    right = Counter[bool]()
    for index in range(options.right):
        case = pool[index % len(pool)]
        inputs = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(index)) * chance.choice([0.1, 1, 10])
        again = Case(case.model, case.trace, inputs)
        made = edits(again, None, chance)
        for redo in (True, False):
            right[redo] += proven(again, made, redo, small=redo and index % 2 == 1)[0]
    print(
        f"{options.right} right ones: accepted by fold {right[True] / options.right:.2%}, "
        f"by verify {right[False] / options.right:.2%}"
    )
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
