"""What stands where a folded norm was."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

from torch import Tensor, nn


class Folded(nn.Identity):
    """Hands on what it reads. What the norm's class did besides (drop, activation) is kept, under its own names.

    Training a folded model does not normalise any more; `train()` says so.
    """

    def __init__(self, was: str, training: bool, parts: Mapping[str, nn.Module], order: Sequence[str]) -> None:
        super().__init__()
        self.was = was
        self.order = tuple(order)
        for name, part in parts.items():
            self.add_module(name, part)
        self.training = training

    def forward(self, input: Tensor) -> Tensor:
        for name in self.order:
            input = getattr(self, name)(input)
        return input

    def train(self, mode: bool = True) -> Folded:
        if mode:
            warnings.warn(
                "the batch norms of this model were folded away: training it does not normalise", stacklevel=2
            )
        super().train(mode)
        return self

    def extra_repr(self) -> str:
        return f"was {self.was}"
