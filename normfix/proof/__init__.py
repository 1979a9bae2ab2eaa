"""No rewrite without its proof: float64, where right and wrong are eleven orders apart, and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import fx, nn

from normfix.errors import UsageError
from normfix.proof.artefacts import InRuntime
from normfix.proof.copying import copied
from normfix.proof.proving import Proving, positional
from normfix.rewrites import Proof, ProofFailed

__all__ = ["Proof", "ProofFailed", "Proving", "compared", "verify"]


def verify(
    before: nn.Module,
    after: nn.Module,
    example_inputs: object = None,
    example_kwargs: Mapping[str, Any] | None = None,
    *,
    level: str = "full",
) -> Proof:
    """Do two models compute the same, up to the rounding of the first one. Neither is changed.

    `example_inputs` is a tensor, or a tuple of positional inputs; the proof adds families of inputs of its own.
    Outputs are held together place by place: a list and a tuple are the same, since an export does not tell them
    apart, and so are dicts in any order of their keys; numbers count as tensors, text and the like must be equal, and
    an object of any other class is named in a note as not compared. Other dtypes and another nesting are differences
    too, but for a file that ONNX Runtime runs.

    `level` "formula" leaves out ONNX Runtime. Raises `UsageError` for what is no module, for inputs that neither model
    takes, and for sparse outputs.
    """
    return compared(before, after, example_inputs, example_kwargs, level).judge()


def compared(
    before: nn.Module, after: nn.Module, inputs: object, kwargs: Mapping[str, Any] | None, level: str
) -> Proving:
    """Both models, observed. Raises `UsageError`, as `verify` does."""
    for model in (before, after):
        if not isinstance(model, nn.Module):
            raise UsageError(f"comparing two models: expected a torch.nn.Module, got {type(model).__name__}")
    fixed = any(isinstance(model, (fx.GraphModule, InRuntime)) for model in (before, after))
    proving = Proving(inputs, kwargs, level, resize=not fixed)
    proving.old(copied(before))
    proving.new(copied(after))
    if level != "none" and (reason := proving.neither_runs()):
        if not positional(inputs) and not kwargs:
            raise UsageError("comparing two models: they need inputs: give `example_inputs`, or --input 8x3x224x224")
        raise UsageError(f"comparing two models: neither runs on the example inputs: {reason}")
    return proving
