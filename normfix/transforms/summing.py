"""Sums: which convolutions are added up in one, and the number that each is multiplied by."""

from __future__ import annotations

from collections.abc import Iterator

from torch import fx

from normfix.transforms.absorb import CONVOLUTIONS
from normfix.transforms.arithmetic import factor
from normfix.transforms.flow import Flow
from normfix.transforms.nodes import operation, shape, source

ADDS = frozenset({"add", "sub"})
Term = tuple[fx.Node, float]
"""A convolution, and the number that its result is multiplied by."""


def is_summed(flow: Flow, node: fx.Node) -> bool:
    """Is this only a part of a larger sum."""
    readers = flow.readers(node)
    if len(readers) != 1:
        return False
    return operation(readers[0]) in ADDS or (readers[0] in flow.removed and is_summed(flow, readers[0]))


def terms(flow: Flow, node: fx.Node) -> Iterator[Term]:
    """Convolutions that reach this node through sums and folded norms only, and nothing else, with their factors."""
    if node in flow.removed:
        yield from _alone(flow, flow.removed[node])
    elif operation(node) in CONVOLUTIONS:
        yield node, 1.0
    elif operation(node) in ADDS:
        first, second = node.args[:2]
        if isinstance(first, fx.Node) and isinstance(second, (int, float)):
            yield from _alone(flow, first)
        elif isinstance(first, fx.Node) and isinstance(second, fx.Node) and shape(first) == shape(second):
            yield from _alone(flow, first)
            for conv, inner in _alone(flow, second):
                yield conv, inner * factor(node)


def partners(flow: Flow, branch: fx.Node, read: fx.Node) -> Iterator[Term]:
    """Convolutions that read the same tensor and are added to the branch, with the branch's factor over their own."""
    node, own = branch, 1.0
    while True:
        readers = flow.readers(node)
        if len(readers) != 1 or operation(readers[0]) not in ADDS:
            return
        sum_ = readers[0]
        first, second = sum_.args[:2]
        if first is node and isinstance(second, (int, float)):
            node = sum_  # a number that is added changes neither side
            continue
        if not isinstance(first, fx.Node) or not isinstance(second, fx.Node) or first is second:
            return
        if shape(first) != shape(second):
            return
        own *= factor(sum_) if node is second else 1.0
        other = first if node is second else second
        theirs = factor(sum_) if other is second else 1.0
        for conv, inner in _alone(flow, other):
            if source(conv) is read:
                yield conv, own / (theirs * inner)
            # Both factors are those at this sum; what lies above it multiplies them alike.
        node = sum_


def _alone(flow: Flow, node: fx.Node) -> Iterator[Term]:
    if len(flow.readers(node)) == 1:
        yield from terms(flow, node)
