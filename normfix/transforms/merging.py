"""merge_branches: a norm beside a convolution becomes a tap of its kernel (RepVGG, MobileOne, FastViT, RepGhost).

    conv(x; W, b) + r (s x + t) = conv(x; W', b + r t),   W'[o, o, centre] = W[o, o, centre] + r s[o]

for a convolution that keeps size and channels: stride 1, an odd kernel k with padding dilation (k - 1) / 2. Zero
padding does no harm, since the tap at the centre never reads it. The branch itself then gives zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn

from normfix.transforms.absorb import CONVOLUTIONS, layer_of
from normfix.transforms.base import Refused
from normfix.transforms.flow import Flow, argument, operation, shape, source
from normfix.transforms.passes import factor
from normfix.transforms.sites import Norm
from normfix.transforms.store import Store

_ADDS = frozenset({"add", "sub"})


class Merged(nn.Module):
    """Gives zero: what this branch added is a part of another branch's convolution."""

    def __init__(self, was: str) -> None:
        super().__init__()
        self.was = was

    def forward(self, input: Tensor) -> Tensor:
        return torch.zeros_like(input)

    def extra_repr(self) -> str:
        return f"was {self.was}"


def into_branch(flow: Flow, store: Store, norm: Norm, scale: Tensor, shift: Tensor) -> str:
    """Fold a norm into a convolution of the same input that is added to it. Returns the path of the convolution.

    Raises `Refused`."""
    if len(norm.calls) != 1:
        raise Refused("it is called more than once")
    call = norm.calls[0]
    for conv, ratio in _partners(flow, call.result, call.read):
        if not _keeps_size(conv):
            continue
        layer = layer_of(flow, [conv])
        weight, bias = layer.read(store)
        if weight.shape[0] != len(scale):
            continue
        layer.write(store, _with_tap(weight, scale * ratio), ratio * shift if bias is None else bias + ratio * shift)
        return layer.path
    raise Refused("no convolution of the same input is added to it")


def _partners(flow: Flow, branch: fx.Node, read: fx.Node) -> Iterator[tuple[fx.Node, float]]:
    """Convolutions that read the same tensor and are added to the branch, with the branch's factor over their own."""
    node, own = branch, 1.0
    while True:
        readers = flow.readers(node)
        if len(readers) != 1 or operation(readers[0]) not in _ADDS:
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
        for conv, inner in _convolutions(flow, other, read):
            yield conv, own / (theirs * inner)
            # Both factors are those at this sum; what lies above it multiplies them alike.
        node = sum_


def _convolutions(flow: Flow, node: fx.Node, read: fx.Node) -> Iterator[tuple[fx.Node, float]]:
    """Convolutions of `read` below this node that reach it through sums and folded norms only, with their factors."""
    if len(flow.readers(node)) != 1:
        return
    if node in flow.removed:
        yield from _convolutions(flow, flow.removed[node], read)
    elif operation(node) in CONVOLUTIONS and source(node) is read:
        yield node, 1.0
    elif operation(node) in _ADDS:
        first, second = node.args[:2]
        if isinstance(first, fx.Node) and isinstance(second, (int, float)):
            yield from _convolutions(flow, first, read)
        elif isinstance(first, fx.Node) and isinstance(second, fx.Node) and shape(first) == shape(second):
            yield from _convolutions(flow, first, read)
            for conv, inner in _convolutions(flow, second, read):
                yield conv, inner * factor(node)


def _keeps_size(conv: fx.Node) -> bool:
    weight = conv.args[1]
    if not isinstance(weight, fx.Node) or shape(conv) != shape(source(conv)):
        return False
    kernel = shape(weight)[2:]
    rank = len(kernel)
    padding, stride, dilation = (argument(conv, name) for name in ("padding", "stride", "dilation"))
    if isinstance(padding, str):
        aligned = all(size % 2 == 1 for size in kernel)
    else:
        pads, steps = _each(padding, rank), _each(dilation, rank)
        aligned = all(
            size % 2 == 1 and 2 * pad == step * (size - 1) for size, pad, step in zip(kernel, pads, steps, strict=True)
        )
    return aligned and all(step == 1 for step in _each(stride, rank))


def _each(value: Any, rank: int) -> list[int]:
    sizes = [int(size) for size in value] if isinstance(value, (list, tuple)) else [int(value)]
    return sizes * rank if len(sizes) == 1 else sizes


def _with_tap(weight: Tensor, tap: Tensor) -> Tensor:
    """The kernel with tap[o] added where output channel o reads input channel o at the centre."""
    new = weight.clone()
    outputs, per_group = weight.shape[:2]
    rows = torch.arange(outputs)
    # As many inputs as outputs: with g groups, o lies in the group that holds input o, at place o mod Ci/g.
    centre: tuple[Any, ...] = tuple(size // 2 for size in weight.shape[2:])
    new[(rows, rows % per_group, *centre)] += tap
    return new
