"""Sums: which convolutions are added up in one, and the number that each is multiplied by."""

from __future__ import annotations

from collections.abc import Iterator

from torch import fx

from normfix.transforms.absorb import CONVOLUTIONS
from normfix.transforms.arithmetic import factor, multiplier
from normfix.transforms.flow import Flow
from normfix.transforms.nodes import argument, operation, shape, source

ADDS = frozenset({"add", "sub"})
Term = tuple[fx.Node, float]
"""A convolution, or another tensor, and the number that it is multiplied by."""


def is_summed(flow: Flow, node: fx.Node) -> bool:
    """Is this only a part of a larger sum."""
    readers = flow.readers(node)
    if len(readers) != 1:
        return False
    return operation(readers[0]) in ADDS or (scaling(flow, readers[0]) is not None and is_summed(flow, readers[0]))


def terms(flow: Flow, node: fx.Node) -> Iterator[Term]:
    """Convolutions that reach this node through sums, products with a number and folded norms only, and nothing else,
    with their factors."""
    share = scaling(flow, node)
    if operation(node) in CONVOLUTIONS:
        yield node, 1.0
    elif share is not None:
        for conv, inner in _alone(flow, flow.removed.get(node) or source(node)):
            yield conv, inner * share
    elif operation(node) in ADDS:
        for summand, times in _summands(node):
            if times and shape(summand) == shape(node):
                for conv, inner in _alone(flow, summand):
                    yield conv, inner * times


def partners(flow: Flow, branch: fx.Node, read: fx.Node) -> Iterator[Term]:
    """Convolutions that read the same tensor and are added to the branch, with the branch's factor over their own."""
    node, own = branch, 1.0
    while len(flow.readers(node)) == 1:
        reader = flow.readers(node)[0]
        share = scaling(flow, reader)
        if share is None:
            summands = dict(_summands(reader)) if operation(reader) in ADDS else {}
            share = summands.get(node, 0.0)
            if not share or shape(node) != shape(reader):
                return
            for other, times in summands.items():
                if other is not node and shape(other) == shape(reader):
                    for conv, inner in _alone(flow, other):
                        if source(conv) is read:
                            yield conv, own * share / (times * inner)
        # What lies above multiplies the branch and its partners alike.
        node, own = reader, own * share


def _summands(node: fx.Node) -> Iterator[Term]:
    """The tensors that a sum adds up, each with the number that it is multiplied by; y + y is 2 y."""
    first, second = node.args[:2]
    if isinstance(first, fx.Node) and first is not second:
        yield first, 1.0
    if isinstance(second, fx.Node):
        yield second, factor(node) + (first is second)


def scaling(flow: Flow, node: fx.Node) -> float | None:
    """The number that this node multiplies the one tensor that it reads by; None where it does anything else."""
    name = operation(node)
    if node in flow.removed or name == "alias" or (name in ("clone", "contiguous") and not node.kwargs):
        return 1.0
    if name == "dropout" and not argument(node, "train"):
        return 1.0
    number = name in ("mul", "div") and isinstance(node.args[0], fx.Node) and isinstance(node.args[1], (int, float))
    return multiplier(node) if number and node.args[1] and not node.kwargs else None


def _alone(flow: Flow, node: fx.Node) -> Iterator[Term]:
    if len(flow.readers(node)) == 1:
        yield from terms(flow, node)
