"""fold: take the batch norms out of a model that is deployed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from normfix.rewrites import ProofFailed, Rewrite
from normfix.transforms import folding
from normfix.transforms.fold_program import fold_program
from normfix.transforms.rewriting import Planner, rewrite


def fold(
    model: nn.Module,
    example_inputs: object = None,
    example_kwargs: Mapping[str, Any] | None = None,
    *,
    merge_branches: bool = False,
    pad_constants: bool = False,
    affine: bool = False,
    output: str = "module",
    prove: str = "full",
) -> Rewrite:
    """Fold every norm with fixed statistics into the layers around it, on a copy of `model`.

    `example_inputs` is a tensor or a tuple of positional inputs, as for torch.export. `prove` is "full" (float64 and
    ONNX Runtime), "formula" (float64 only) or "none". What stays is in `refused`, with the reason.

    `merge_branches` also turns a norm beside a convolution of the same input (RepVGG, MobileOne, FastViT, RepGhost)
    into a tap of that convolution, and makes one of several convolutions of one input whose results are added.
    `pad_constants` folds norms before zero-padded convolutions, too: each channel is then padded with a constant of its
    own. `affine` also folds weight and bias of layer norms and RMS norms into the linear layers that read them; the
    norms themselves stay. `output` "program" folds in the exported program and returns that, functional calls included.

    Raises `ProofFailed` where the folded model is not proven to compute the same, and `UsageError` where the model
    cannot be copied or captured.
    """
    if output not in ("module", "program"):
        raise ValueError(f"`output` is {output!r}: expected module or program")
    planner = partial(folding.plan, merge_branches=merge_branches, pad_constants=pad_constants, affine=affine)
    try:
        return _folded(model, planner, example_inputs, example_kwargs, output, prove)
    except ProofFailed:
        if not merge_branches:
            raise
    # A forward that asks for the size of a merged branch finds it in zeros of full size only.
    return _folded(model, partial(planner, whole=True), example_inputs, example_kwargs, output, prove)


def _folded(
    model: nn.Module,
    planner: Planner,
    example_inputs: object,
    example_kwargs: Mapping[str, Any] | None,
    output: str,
    prove: str,
) -> Rewrite:
    if output == "program":
        return fold_program(model, planner, example_inputs, example_kwargs, prove)
    return rewrite(
        model,
        planner,
        example_inputs,
        example_kwargs,
        doing="folding",
        step="fold",
        equivalence=folding.EQUIVALENCE,
        prove=prove,
    )
