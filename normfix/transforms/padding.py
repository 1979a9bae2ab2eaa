"""pad_constants: a norm before a zero-padded convolution, folded exactly.

    conv(pad_0(s x + t)) = conv'(pad_p(x)),   p = -t / s,   since s p + t = 0

W and b of conv' are those of a convolution without padding. The norm's place is taken by a layer that pads each channel
with its own constant.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from normfix.errors import Refused
from normfix.transforms import algebra, probe
from normfix.transforms.absorb import CONVOLUTIONS, weights_of
from normfix.transforms.base import Edit, ReplaceModule, SetAttribute
from normfix.transforms.flow import Flow
from normfix.transforms.nodes import argument, operation, source
from normfix.transforms.sites import Norm
from normfix.transforms.store import Store


class PadConstants(nn.Module):
    """Pads (N, C, *S) with one constant for each channel, by `pads[i]` on both sides of spatial axis i."""

    value: Tensor

    def __init__(self, value: Tensor, pads: Sequence[int], was: str) -> None:
        super().__init__()
        self.register_buffer("value", value.reshape(1, -1, *[1] * len(pads)))
        self.pads = tuple(pads)
        self.was = was

    def forward(self, input: Tensor) -> Tensor:
        around = [pad for pad in reversed(self.pads) for _ in range(2)]
        border = 1 - F.pad(torch.ones_like(input[:1, :1]), around)
        return F.pad(input, around) + self.value * border

    def extra_repr(self) -> str:
        return f"pads={self.pads}, was {self.was}"


def ahead(flow: Flow, store: Store, norm: Norm, scale: Tensor, shift: Tensor) -> tuple[list[Edit], str]:
    """Fold a norm into the zero-padded convolution that reads it. The edits, and the path of the convolution.

    Raises `Refused`."""
    if len(norm.calls) != 1:
        raise Refused("it is called more than once")
    conv = flow.only_reader(norm.calls[0].result)
    if operation(conv) not in CONVOLUTIONS or source(conv) is not norm.calls[0].result:
        raise Refused(f"{flow.name(conv)} is no convolution")
    if bool((scale == 0).any()):
        raise Refused(f"a scale of `{norm.path}` is zero")
    layer = weights_of(flow, [conv])
    module = flow.model.get_submodule(layer.path)
    pads = _pads(conv)
    if not probe.is_stock(module) or getattr(module, "padding_mode", "") != "zeros":
        raise Refused(f"`{layer.path}` is not a plain zero-padded convolution")
    weight, bias = layer.read(store)
    layer.write(store, *algebra.before_convolution(weight, bias, scale, shift, int(str(argument(conv, "groups")))))
    value = -shift / scale

    def make(old: nn.Module) -> nn.Module:
        like = next(tensor for tensor in (*old.buffers(), *old.parameters()) if tensor.is_floating_point())
        padded = PadConstants(value.to(dtype=like.dtype, device=like.device), pads, repr(old).splitlines()[0])
        return padded.train(old.training)

    return [ReplaceModule(norm.path, make), SetAttribute(layer.path, "padding", (0,) * len(pads))], layer.path


def _pads(conv: fx.Node) -> list[int]:
    """Padding of each spatial axis, the same on both sides."""
    rank = CONVOLUTIONS[operation(conv)]
    padding = argument(conv, "padding")
    if not isinstance(padding, (list, tuple)):
        raise Refused(f"the padding of `{conv.name}` is not given in numbers")
    sizes = [int(size) for size in padding]
    return sizes * rank if len(sizes) == 1 else sizes
