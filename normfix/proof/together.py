"""Several families of inputs in few forward passes: of small images most of the time goes into all but the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from normfix.proof.inputs import Family
from normfix.proof.measure import Result

Runner = Callable[[Family], Result]


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


def batched(families: Sequence[Family]) -> list[Family]:
    """The samples of these families in batches of all the sizes that are to be tried, as far as they go round, and of
    what is left; empty where they cannot be joined. A batch has the name of the family whose size it has."""
    made = [family for family in families if not family.batch]
    whole = joined(made) if len(made) > 1 else None
    if whole is None:
        return []
    left = _samples(whole)
    cuts: list[tuple[str, int]] = []
    for family in families:
        if family.batch and family.batch <= left:
            cuts.append((family.name, family.batch))
            left -= family.batch
    return list(_cut(whole, [*cuts, *[(whole.name, left)] * (left > 0)]))


def _cut(whole: Family, sizes: Sequence[tuple[str, int]]) -> Iterator[Family]:
    start = 0
    flat, tree = tree_flatten((whole.args, dict(whole.kwargs)))
    for name, size in sizes:
        part = [leaf[start : start + size] if isinstance(leaf, Tensor) else leaf for leaf in flat]
        args, kwargs = tree_unflatten(part, tree)
        yield Family(name, args, kwargs, deployable=False, batch=size)
        start += size


def _samples(family: Family) -> int:
    return next(len(leaf) for leaf in tree_flatten((family.args, dict(family.kwargs)))[0] if isinstance(leaf, Tensor))


def parted(results: Sequence[Result], sizes: Sequence[int], number: int) -> list[Result] | None:
    """The result of each of `number` families from those of batches of these sizes; None where an output does not fall
    into so many parts.

    Were its first axis not the batch, both models would still be held together part by part.
    """
    first = results[0]
    if any(result.failure or result.names != first.names for result in results):
        return None
    outputs = [list(parts) for parts in zip(*(result.outputs for result in results), strict=True)]
    if not all(_grow(parts, sizes) for parts in outputs) or any(sum(map(len, parts)) % number for parts in outputs):
        return None
    chunks = [torch.cat(parts).chunk(number) for parts in outputs]
    return [
        Result([chunk[index] for chunk in chunks], "", first.names, first.others, first.form) for index in range(number)
    ]


def _grow(parts: Sequence[Tensor], sizes: Sequence[int]) -> bool:
    """Are the first axes of an output as long as the batches that it is of, or the same multiple of them."""
    if any(not part.dim() or part.shape[1:] != parts[0].shape[1:] for part in parts):
        return False
    return all(len(part) * sizes[0] == len(parts[0]) * size for part, size in zip(parts, sizes, strict=True))


def run_together(families: Sequence[Family], runner: Runner) -> dict[str, Result] | None:
    """The results of these families by name, from few runs; None where that cannot be. Those of batch sizes that the
    samples do not suffice for are left out."""
    batches = batched(families)
    results: list[Result] = []
    for batch in batches:
        results.append(runner(batch))
        if results[-1].failure:
            return None
    made = [family for family in families if not family.batch]
    parts = parted(results, [batch.batch for batch in batches], len(made)) if batches else None
    if parts is None:
        return None
    found = {family.name: part for family, part in zip(made, parts, strict=True)}
    return {**{batch.name: result for batch, result in zip(batches, results, strict=True)}, **found}
