"""Deep copies of models, those too that hold computed tensors (old weight_norm, spectral_norm, pruning)."""

from __future__ import annotations

import copy
import warnings
from typing import Any

from torch import Tensor, nn


def copied(model: nn.Module) -> nn.Module:
    """A deep copy. torch refuses to copy a tensor that is no leaf; such a one is computed anew by a hook before it is
    read, so that its values are enough."""
    memo: dict[int, Any] = {}
    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    with warnings.catch_warnings():
        # torch warns of how copy.deepcopy rebuilds the tree of an exported program.
        warnings.simplefilter("ignore", FutureWarning)
        return copy.deepcopy(model, memo)
