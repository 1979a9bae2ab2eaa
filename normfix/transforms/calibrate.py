"""Estimate running statistics from data: the mean over all samples, not the moving average of training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from normfix.errors import UsageError
from normfix.reports.progress import watched

Norm = nn.modules.batchnorm._BatchNorm


def calibrate(model: nn.Module, paths: Sequence[str], batches: Iterable[Any]) -> int:
    """Fill the running statistics of the batch norms at `paths`, in place; everything else runs in eval mode and stays
    as it is. A batch is a tensor, a tuple of arguments or a dict of keyword arguments. Returns the samples seen.

    Each batch counts by its number of samples. A bar is shown where standard error is a terminal. Raises `UsageError`
    where there are no batches, or the model does not take one.
    """
    norms = [module for path in paths if isinstance(module := model.get_submodule(path), Norm)]
    modes = {module: module.training for module in model.modules()}
    momenta = [norm.momentum for norm in norms]
    seen = 0
    model.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
        for number, batch in enumerate(watched(batches, "calibrating"), start=1):
            args, kwargs = _arguments(batch)
            count = _samples(args, kwargs)
            seen += count
            for norm in norms:
                norm.momentum = count / max(seen, 1)
            _forward(model, args, kwargs, number)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes.items():
            module.training = mode
    if not seen:
        raise UsageError("calibrating: there are no batches")
    return seen


def _forward(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], number: int) -> None:
    try:
        with torch.no_grad():
            model(*args, **kwargs)
    except Exception as error:
        raise UsageError(
            f"calibrating: the model does not take batch {number} ({type(error).__name__}: {error}); a tuple holds the "
            "arguments of forward, without labels"
        ) from error


def _arguments(batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(batch, Mapping):
        return (), dict(batch)
    return (tuple(batch), {}) if isinstance(batch, (tuple, list)) else ((batch,), {})


def _samples(args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor) and value.dim()]
    if not tensors:
        raise UsageError("calibrating: a batch holds no tensor")
    return int(tensors[0].shape[0])
