"""drop_bias: remove the biases that a norm subtracts again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from normfix.rewrites import Rewrite
from normfix.transforms import dropping
from normfix.transforms.rewriting import rewrite


def drop_bias(
    model: nn.Module,
    example_inputs: object = None,
    example_kwargs: Mapping[str, Any] | None = None,
    *,
    prove: str = "full",
) -> Rewrite:
    """Remove every bias whose only effect is to be subtracted by the norm behind it, on a copy of `model`.

    The running means are shifted, so that the new model computes the same in eval and in train mode; the proof covers
    both. `rewrite.migrate(state_dict)` does the same to an old checkpoint. Raises `ProofFailed` and `UsageError`.
    """
    frozen = frozen_norms(model)
    return rewrite(
        model,
        partial(dropping.plan, frozen=frozen),
        example_inputs,
        example_kwargs,
        doing="dropping biases of",
        step="drop",
        equivalence=dropping.EQUIVALENCE,
        prove=prove,
        modes=(False, True),
    )


def frozen_norms(model: object) -> frozenset[str]:
    """Paths of modules that are in eval mode within a model in train mode."""
    if not isinstance(model, nn.Module) or not model.training:
        return frozenset()
    return frozenset(path for path, module in model.named_modules() if not module.training)
