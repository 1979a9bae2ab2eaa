"""fold in the exported program: functional calls have no module to be edited, but a program holds them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from normfix.proof import compared
from normfix.proof.proving import positional
from normfix.rewrites import Proof, ProofFailed, Rewrite
from normfix.transforms import folding
from normfix.transforms.laps import Laps
from normfix.transforms.modular import modular
from normfix.transforms.rewriting import Planner, capture, clone, rewrite


def fold_program(
    model: nn.Module, planner: Planner, example_inputs: object, example_kwargs: Mapping[str, Any] | None, prove: str
) -> Rewrite:
    """Fold an exported copy of `model`; `Rewrite.model` is the new program. Raises `UsageError` and `ProofFailed`."""
    doing, laps = "folding the program of", Laps("fold")
    program = capture(clone(model, doing), positional(example_inputs), example_kwargs, doing)
    laps.end("capture")
    done = rewrite(
        modular(program),
        planner,
        example_inputs,
        example_kwargs,
        doing=doing,
        step="fold",
        equivalence=folding.EQUIVALENCE,
        prove="none" if prove == "none" else "formula",
    )
    laps.include(done.seconds)
    new = torch.export.export(done.model, positional(example_inputs), dict(example_kwargs or {}), strict=False)
    laps.end("fold")
    proof, deployed = _proof(model, new.module(), example_inputs, example_kwargs, done.proof, prove)
    laps.end("formula", deployed)
    return replace(done, model=new, proof=proof, migration=None, seconds=laps.seconds)


def _proof(
    model: nn.Module,
    new: nn.Module,
    inputs: object,
    kwargs: Mapping[str, Any] | None,
    formula: Proof,
    level: str,
) -> tuple[Proof, float]:
    """The proof, and the seconds that ONNX Runtime took. The formula is that of the redo in float64; the model itself
    is held against the new program besides."""
    if level == "none":
        return formula, 0.0
    proving = compared(model, new, inputs, kwargs, level)
    whole = proving.judge()
    if not whole.holds:
        raise ProofFailed(f"folding the program of `{type(model).__name__}`: {'; '.join(whole.notes)}", whole)
    return replace(whole, formula=formula.formula), proving.deployed
