"""Convolutions in float64, which torch computes sample by sample and group by group: of small images, the calls and the
reading of the weights cost more than the numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

_FEW = 2**10
"""Results of so many pixels a sample are small: the weights are read once for the batch, not once for each sample."""
_CHEAP = 2**14
"""So many products for each channel cost less than a call for it."""


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor | None:
    """The result of `aten.convolution` with these arguments; None where torch is left to do it.

    Images in float64 on the CPU, laid out in rows, not dilated; a batch of small ones, or one filter a channel.
    """
    if (
        transposed
        or x.dim() != 4
        or x.dtype != torch.float64
        or x.device.type != "cpu"
        or any(d != 1 for d in dilation)
    ):
        return None
    stride, padding = (tuple(sizes) * 2 if len(sizes) == 1 else tuple(sizes) for sizes in (stride, padding))
    rows, columns = (
        (x.shape[axis] + 2 * padding[axis - 2] - weight.shape[axis]) // stride[axis - 2] + 1 for axis in (2, 3)
    )
    plain = x.numel() and rows > 0 and columns > 0 and x.is_contiguous() and weight.is_contiguous()
    if not plain or weight.dtype != x.dtype or weight.shape[1] * groups != x.shape[1]:
        return None
    depthwise = groups == x.shape[1] == weight.shape[0] and groups > 1
    wide = pad(x, (padding[1], padding[1], padding[0], padding[0])) if any(padding) else x
    if depthwise and rows * columns * weight[0].numel() <= _CHEAP:
        made = _by_channel(wide, weight, stride, rows, columns)
    elif groups == 1 and len(x) > 1 and rows * columns <= _FEW:
        made = _by_batch(wide, weight, stride)
    else:
        return None
    return made if bias is None else made + bias[:, None, None]


def _by_batch(x: Tensor, weight: Tensor, stride: Sequence[int]) -> Tensor:
    """One product of matrices: filters, times what each of them reads for each pixel of each sample."""
    windows = x.unfold(2, weight.shape[2], stride[0]).unfold(3, weight.shape[3], stride[1])
    read = windows.permute(1, 4, 5, 0, 2, 3).reshape(weight[0].numel(), -1)
    made = weight.reshape(len(weight), -1) @ read
    return made.reshape(len(weight), len(x), *windows.shape[2:4]).transpose(0, 1).contiguous()


def _by_channel(x: Tensor, weight: Tensor, stride: Sequence[int], rows: int, columns: int) -> Tensor:
    """The sum over the taps of all filters, each a product with the image, shifted."""
    made = x.new_zeros(len(x), len(weight), rows, columns)
    for down in range(weight.shape[2]):
        for right in range(weight.shape[3]):
            shifted = x[
                :, :, down : down + rows * stride[0] : stride[0], right : right + columns * stride[1] : stride[1]
            ]
            made.addcmul_(shifted[:, :, :rows, :columns], weight[:, :, down, right, None])
    return made
