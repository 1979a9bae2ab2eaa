"""Several families of inputs in one forward pass: of small images most of the time goes into all but the numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from normfix.proof.inputs import Family
from normfix.proof.measure import Result

Runner = Callable[[Sequence[Any], Mapping[str, Any]], Result]


def joined(families: Sequence[Family]) -> Family | None:
    """One batch of the samples of all these families; None where an input has no batch of the common size."""
    trees = [tree_flatten((family.args, dict(family.kwargs))) for family in families]
    leaves = [[leaf for leaf in flat if isinstance(leaf, Tensor)] for flat, _ in trees]
    sizes = {len(tensor) if tensor.dim() else 0 for flat in leaves for tensor in flat}
    if len(sizes) != 1 or 0 in sizes:
        return None
    merged = [
        torch.cat([flat[place] for flat, _ in trees]) if isinstance(leaf, Tensor) else leaf
        for place, leaf in enumerate(trees[0][0])
    ]
    args, kwargs = tree_unflatten(merged, trees[0][1])
    return Family(" and ".join(family.name for family in families), args, kwargs, deployable=False)


def parted(result: Result, number: int) -> list[Result] | None:
    """The result of each family; None where an output does not fall into so many parts.

    Were its first axis not the batch, both models would still be held together part by part.
    """
    if result.failure or any(not tensor.dim() or len(tensor) % number for tensor in result.outputs):
        return None
    parts = [tensor.chunk(number) for tensor in result.outputs]
    return [
        Result([part[index] for part in parts], "", result.names, result.others, result.form) for index in range(number)
    ]


def run_together(families: Sequence[Family], runner: Runner) -> list[Result] | None:
    """The results of all families from one run; None where that cannot be."""
    whole = joined(families) if len(families) > 1 else None
    return None if whole is None else parted(runner(whole.args, whole.kwargs), len(families))
