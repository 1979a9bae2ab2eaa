"""Tensors that were made in inference mode: outside of it torch.export cannot follow them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normfix.proof.copying import copied


def closed(tensor: Tensor) -> bool:
    """Was it made in inference mode, which is over."""
    return tensor.is_inference() and not torch.is_inference_mode_enabled()


def ordinary(model: nn.Module) -> nn.Module:
    """The model itself; a copy with ordinary tensors where its own were made in inference mode."""
    return copied(model) if any(closed(tensor) for tensor in (*model.parameters(), *model.buffers())) else model
