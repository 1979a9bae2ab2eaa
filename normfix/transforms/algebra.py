"""The algebra of folding, as pure functions on float64 tensors.

Letters: W weight, b bias, s scale, t shift of a batch norm in eval,

    s = gamma / sqrt(running_var + eps)        t = beta - running_mean * s

so that it maps x to s * x + t. Co and Ci are output and input channels, g groups, k the kernel.
"""

from __future__ import annotations

import torch
from torch import Tensor


def scale_shift(
    mean: Tensor, variance: Tensor, gamma: Tensor | None, beta: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """s and t of a batch norm. gamma is 1 and beta is 0 where they are None."""
    scale = torch.rsqrt(variance.double() + eps)
    if gamma is not None:
        scale = scale * gamma.double()
    shift = -mean.double() * scale
    return scale, shift if beta is None else shift + beta.double()


def after_convolution(weight: Tensor, bias: Tensor | None, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """s * (W x + b) + t, for W of [Co, Ci/g, *k] or of [Co, Ci]: W'[o] = s[o] W[o], b' = s b + t."""
    return weight * _leading(s, weight), after_norm(bias, s, t)


def after_transposed(weight: Tensor, bias: Tensor | None, s: Tensor, t: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """The same for a transposed convolution, W of [Ci, Co/g, *k]: W'[i, j] = s[G(i) Co/g + j] W[i, j], where
    G(i) = floor(i / (Ci/g)) is the group of input channel i."""
    inputs, per_group = weight.shape[:2]
    factors = s.view(groups, 1, per_group).expand(groups, inputs // groups, per_group).reshape(inputs, per_group)
    return weight * factors.reshape(*factors.shape, *[1] * (weight.dim() - 2)), after_norm(bias, s, t)


def after_norm(bias: Tensor | None, s: Tensor, t: Tensor) -> Tensor:
    """The shift of a layer whose own shift is b, followed by s and t: s b + t. b is 0 where it is None."""
    return t.clone() if bias is None else s * bias.reshape(s.shape) + t


def before_convolution(weight: Tensor, bias: Tensor | None, s: Tensor, t: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """W (s x + t) + b, for W of [Co, Ci/g, *k] without zero padding, or of [Co, Ci]:
    W'[o, c] = W[o, c] s[in(o, c)], b'[o] = b[o] + sum over c and k of W[o, c] t[in(o, c)],
    where in(o, c) = floor(o / (Co/g)) Ci/g + c."""
    outputs, per_group = weight.shape[:2]
    shape = (outputs, per_group, *[1] * (weight.dim() - 2))
    scale, shift = (_per_output(part, groups, outputs, per_group).reshape(shape) for part in (s, t))
    added = (weight * shift).flatten(1).sum(1)
    return weight * scale, added if bias is None else bias + added


def _per_output(part: Tensor, groups: int, outputs: int, per_group: int) -> Tensor:
    return part.view(groups, 1, per_group).expand(groups, outputs // groups, per_group)


def _leading(vector: Tensor, weight: Tensor) -> Tensor:
    return vector.reshape(-1, *[1] * (weight.dim() - 1))
