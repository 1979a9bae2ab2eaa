"""The windows of a convolution: how its kernel lies on what it reads, axis by axis."""

from __future__ import annotations

from typing import Any

from torch import fx

from normfix.transforms.nodes import argument, shape, source

Window = tuple[int, int, int, int]
"""Kernel, stride, padding and dilation along one axis."""


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


def keeps_size(conv: fx.Node) -> bool:
    """Is its result as large as what it reads, output o standing at the centre of its kernel."""
    found = windows_of(conv)
    return (
        bool(found)
        and shape(conv) == shape(source(conv))
        and all(kernel % 2 and stride == 1 and 2 * pad == step * (kernel - 1) for kernel, stride, pad, step in found)
    )


def _each(value: Any, rank: int) -> list[int]:
    sizes = [int(size) for size in value] if isinstance(value, (list, tuple)) else [int(value)]
    return sizes * rank if len(sizes) == 1 else sizes
