"""Gathers the evidence for a swap that keeps the interface of a model only."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from normfix.proof import runtime
from normfix.proof.copying import copied
from normfix.proof.inputs import Family, families, shaken
from normfix.proof.interface import Observed, judge_interface
from normfix.proof.measure import Result, run, run_float64
from normfix.proof.proving import coarsest, positional
from normfix.rewrites import Proof


def prove_interface(
    before: nn.Module, new: nn.Module, example_inputs: object, kwargs: Mapping[str, Any] | None, level: str
) -> tuple[Proof, float]:
    """Both models in eval mode on every family of inputs; the new one in float64 and ONNX Runtime too, and the seconds
    that took. `before` is used up, `new` is left as it is."""
    tried = families(positional(example_inputs), kwargs or {})
    notes: list[str] = []
    trial = copied(new).eval()
    old, plain = ([run(model, family.args, family.kwargs) for family in tried] for model in (before.eval(), trial))
    deployed, seconds = _deployed(trial, tried, notes) if level == "full" else ([None] * len(tried), 0.0)
    eps = torch.finfo(coarsest(trial)).eps
    trial = trial.double()
    observed = [
        Observed(
            family.name,
            old[index],
            plain[index],
            exact=run_float64(trial, family.args, family.kwargs),
            shaken=run_float64(trial, *shaken(family, eps)),
            deployed=deployed[index],
        )
        for index, family in enumerate(tried)
    ]
    return judge_interface(observed, eps, notes, level), seconds


def _deployed(model: nn.Module, tried: Sequence[Family], notes: list[str]) -> tuple[Sequence[Result | None], float]:
    start = time.perf_counter()
    try:
        results = runtime.results(model, tried)
    except runtime.NoExport as missing:
        notes.append(f"not proven in ONNX Runtime: {missing.reason}")
        results = [None] * len(tried)
    return results, time.perf_counter() - start
