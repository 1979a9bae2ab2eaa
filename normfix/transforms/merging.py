"""merge_branches: what stands beside a convolution of the same input becomes a part of its kernel (RepVGG, MobileOne,
FastViT, RepGhost).

A norm becomes a tap at the centre:

    conv(x; W, b) + r (s x + t) = conv(x; W', b + r t),   W'[o, o, centre] = W[o, o, centre] + r s[o]

for a convolution that keeps size and channels: stride 1, an odd kernel k with padding dilation (k - 1) / 2. Zero
padding does no harm, since the tap at the centre never reads it. The branch itself then gives zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from normfix.transforms.absorb import CONVOLUTIONS, layer_of
from normfix.transforms.arithmetic import factor
from normfix.transforms.base import Edit, Refused, ReplaceModule
from normfix.transforms.flow import Flow
from normfix.transforms.guards import writes_in_place
from normfix.transforms.nodes import argument, operation, shape, source
from normfix.transforms.sites import Norm
from normfix.transforms.store import Store

ADDS = frozenset({"add", "sub"})
Window = tuple[int, int, int, int]
"""Kernel, stride, padding and dilation along one axis."""


class Merged(nn.Module):
    """Gives zero: what this branch added is a part of another branch's convolution.

    The zero is a single number, or, where something is added to it in place, a tensor of the size that a convolution
    to `channels` with these windows would give."""

    def __init__(self, was: str, channels: int = 0, windows: Sequence[Window] = ()) -> None:
        super().__init__()
        self.was = was
        self.channels = channels
        self.single = not windows
        # TorchScript takes no empty list, and no loop over pairs.
        self.windows = [list(window) for window in windows or [(1, 1, 0, 1)]]

    def forward(self, input: Tensor) -> Tensor:
        if self.single:
            return input.new_zeros(())
        sizes = list(input.shape)
        first = len(sizes) - len(self.windows)
        sizes[first - 1] = self.channels
        for axis in range(len(self.windows)):
            kernel, stride, padding, dilation = self.windows[axis]
            sizes[first + axis] = (sizes[first + axis] + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        return input.new_zeros(sizes)

    def extra_repr(self) -> str:
        return f"was {self.was}"


def merged(flow: Flow, node: fx.Node, windows: Sequence[Window], path: str) -> ReplaceModule:
    """The edit that puts zero in the place of the module that made this node, over these windows."""
    channels = shape(node)[-len(windows) - 1]
    kept = windows if _written(flow, node) else ()
    return ReplaceModule(path, lambda old: Merged(repr(old).splitlines()[0], channels, kept).train(old.training))


def _written(flow: Flow, node: fx.Node) -> bool:
    """Is anything added to this in place, on its way through sums."""
    readers = flow.readers(node)
    if len(readers) != 1 or (operation(readers[0]) not in ADDS and readers[0] not in flow.removed):
        return False
    in_place = writes_in_place(readers[0]) and readers[0].args[0] is node
    return in_place or _written(flow, readers[0])


def into_branch(flow: Flow, store: Store, norm: Norm, scale: Tensor, shift: Tensor) -> tuple[Edit, str]:
    """Fold a norm into a convolution of the same input that is added to it. Returns the edit that takes the norm out,
    and the path of the convolution. Raises `Refused`."""
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
        rank = CONVOLUTIONS[operation(conv)]
        return merged(flow, call.result, [(1, 1, 0, 1)] * rank, norm.path), layer.path
    raise Refused("no convolution of the same input is added to it")


def _partners(flow: Flow, branch: fx.Node, read: fx.Node) -> Iterator[tuple[fx.Node, float]]:
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


def terms(flow: Flow, node: fx.Node) -> Iterator[tuple[fx.Node, float]]:
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


def _alone(flow: Flow, node: fx.Node) -> Iterator[tuple[fx.Node, float]]:
    if len(flow.readers(node)) == 1:
        yield from terms(flow, node)


def _keeps_size(conv: fx.Node) -> bool:
    found = windows_of(conv)
    return (
        bool(found)
        and shape(conv) == shape(source(conv))
        and all(kernel % 2 and stride == 1 and 2 * pad == step * (kernel - 1) for kernel, stride, pad, step in found)
    )


def windows_of(conv: fx.Node) -> list[Window]:
    """One for each spatial axis; none where the padding of a convolution differs between the two ends of an axis."""
    weight = conv.args[1]
    kernel = shape(weight)[2:] if isinstance(weight, fx.Node) else ()
    rank = len(kernel)
    padding, stride, dilation = (argument(conv, name) for name in ("padding", "stride", "dilation"))
    strides, steps = _each(stride, rank), _each(dilation, rank)
    if isinstance(padding, str):
        total = [step * (size - 1) * (padding == "same") for step, size in zip(steps, kernel, strict=True)]
        if any(size % 2 for size in total):
            return []
        padding = [size // 2 for size in total]
    return list(zip(kernel, strides, _each(padding, rank), steps, strict=True))


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
