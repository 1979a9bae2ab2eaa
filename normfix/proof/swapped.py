"""Gathers the evidence for a swap that keeps the interface of a model only."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from normfix.proof import runtime
from normfix.proof.copying import copied
from normfix.proof.inputs import families
from normfix.proof.interface import judge_interface
from normfix.proof.measure import run, run_float64
from normfix.proof.proving import coarsest, positional
from normfix.rewrites import Proof


def prove_interface(
    before: nn.Module, new: nn.Module, example_inputs: object, kwargs: Mapping[str, Any] | None, level: str
) -> tuple[Proof, float]:
    """Both models in eval mode on every family of inputs; the new one in float64 and ONNX Runtime too, and the seconds
    that took. `before` is used up, `new` is left as it is."""
    tried = families(positional(example_inputs), kwargs or {})
    notes: list[str] = []
    old = [run(before.eval(), family.args, family.kwargs) for family in tried]
    trial = copied(new).eval()
    after = [run(trial, family.args, family.kwargs) for family in tried]
    deployed, seconds = None, 0.0
    if level == "full":
        start = time.perf_counter()
        try:
            deployed = runtime.results(trial, tried)
        except runtime.NoExport as missing:
            notes.append(f"not proven in ONNX Runtime: {missing.reason}")
        seconds = time.perf_counter() - start
    eps = torch.finfo(coarsest(trial)).eps
    trial = trial.double()
    exact = [run_float64(trial, family.args, family.kwargs) for family in tried]
    return judge_interface([family.name for family in tried], old, after, exact, deployed, eps, notes, level), seconds
