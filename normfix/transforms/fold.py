"""fold: take the batch norms out of a model that is deployed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from normfix.rewrites import Rewrite
from normfix.transforms import folding
from normfix.transforms.fold_program import fold_program
from normfix.transforms.rewriting import rewrite


def fold(
    model: nn.Module,
    example_inputs: object = None,
    example_kwargs: Mapping[str, Any] | None = None,
    *,
    merge_branches: bool = False,
    pad_constants: bool = False,
    output: str = "module",
    prove: str = "full",
) -> Rewrite:
    """Fold every norm with fixed statistics into the layers around it, on a copy of `model`.

    `example_inputs` is a tensor or a tuple of positional inputs, as for torch.export. `prove` is "full" (float64 and
    ONNX Runtime), "formula" (float64 only) or "none". `merge_branches` also turns a norm beside a convolution of the
    same input (RepVGG, MobileOne, FastViT, RepGhost) into a tap of that convolution. What stays is in `refused`, with
    the reason. `pad_constants` folds norms before zero-padded convolutions, too: each channel is then padded with a
    constant of its own. `output` "program" folds in the exported program and returns that, functional calls included.

    Raises `ProofFailed` where the folded model is not proven to compute the same, and `UsageError` where the model
    cannot be copied or captured.
    """
    if output not in ("module", "program"):
        raise ValueError(f"`output` is {output!r}: expected module or program")
    if output == "program":
        return fold_program(model, example_inputs, example_kwargs, merge_branches, pad_constants, prove)
    return rewrite(
        model,
        partial(folding.plan, merge_branches=merge_branches, pad_constants=pad_constants),
        example_inputs,
        example_kwargs,
        doing="folding",
        equivalence=folding.EQUIVALENCE,
        prove=prove,
    )
