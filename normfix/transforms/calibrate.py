"""Estimate running statistics from data: those of all samples at once, not the moving average of training.

Each call of a norm adds n samples with a mean m and a variance v. With w = n over all samples so far, and d = m - mean:

    mean += w d        var = (1 - w) var + w v + w (1 - w) d^2

which is what one pass over all samples gives, however they are cut into batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from normfix.errors import UsageError
from normfix.reports.progress import watched

Norm = nn.modules.batchnorm._BatchNorm


def calibrate(model: nn.Module, paths: Sequence[str], batches: Iterable[Any]) -> list[str]:
    """Fill the running statistics of the batch norms at `paths`, in place; everything else runs in eval mode and stays
    as it is. A batch is a tensor, a tuple of arguments or a dict of keyword arguments. Returns the paths of norms that
    no batch reached.

    Each sample counts the same. A bar is shown where standard error is a terminal. Raises `UsageError` where there are
    no batches, one cannot be read, the model does not take one, or a norm reads values that are not finite.
    """
    norms = {path: module for path in paths if isinstance(module := model.get_submodule(path), Norm)}
    seen = {path: _Statistics(norm.num_features) for path, norm in norms.items()}
    number = 0
    with _watching(model, norms, seen):
        for number, batch in enumerate(_read(batches), start=1):
            _forward(model, *_arguments(batch), number)
    if not number:
        raise UsageError("calibrating: there are no batches")
    for path, norm in norms.items():
        seen[path].write(norm, path)
    return [path for path, statistics in seen.items() if not statistics.samples]


class _Statistics:
    """Mean and variance of each channel over the samples so far, in float64."""

    def __init__(self, channels: int) -> None:
        self.samples = self.values = 0
        self.mean = torch.zeros(channels, dtype=torch.float64)
        self.var = torch.zeros(channels, dtype=torch.float64)

    def add(self, read: Tensor) -> None:
        """Count what one call read, (N, C, *S)."""
        if not read.numel():
            return
        self.samples += len(read)
        self.values += read.numel() // read.shape[1]
        axes = [axis for axis in range(read.dim()) if axis != 1]
        plain = read if read.dtype == torch.float64 else read.float()
        var, mean = (part.cpu().double() for part in torch.var_mean(plain, axes, correction=0))
        share, step = len(read) / self.samples, mean - self.mean
        self.mean = self.mean + share * step
        self.var = (1 - share) * self.var + share * var + share * (1 - share) * step**2

    def write(self, norm: Norm, path: str) -> None:
        """Give the norm what was found, the variance as a batch norm stores it: over one value less."""
        if norm.running_mean is None or norm.running_var is None:
            return
        if not self.samples:
            norm.reset_running_stats()
            return
        var = self.var * self.values / max(self.values - 1, 1)
        for name, value, buffer in (("mean", self.mean, norm.running_mean), ("variance", var, norm.running_var)):
            buffer.copy_(value)
            if not bool(buffer.isfinite().all()):
                raise UsageError(f"calibrating: the {name} of what `{path}` reads is not finite in {buffer.dtype}")


@contextmanager
def _watching(model: nn.Module, norms: Mapping[str, Norm], seen: Mapping[str, _Statistics]) -> Iterator[None]:
    """The model in eval mode, but for the norms, which use the statistics of each batch and note what they read."""
    modes = {module: module.training for module in model.modules()}
    handles = []
    model.eval()
    try:
        for path, norm in norms.items():
            norm.reset_running_stats()
            norm.train()

            def note(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], path: str = path) -> None:
                seen[path].add(args[0] if args else kwargs["input"])

            handles.append(norm.register_forward_pre_hook(note, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode


def _read(batches: Iterable[Any]) -> Iterator[Any]:
    number = 0
    try:
        for batch in watched(batches, "calibrating"):
            yield batch
            number += 1
    except Exception as error:
        raise UsageError(f"calibrating: batch {number + 1} cannot be read ({type(error).__name__}: {error})") from error


def _forward(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], number: int) -> None:
    try:
        with torch.no_grad():
            model(*args, **kwargs)
    except Exception as error:
        raise UsageError(
            f"calibrating: the model does not take batch {number} ({type(error).__name__}: {error}); a tuple holds the "
            "arguments of forward, without labels, a dict those by name"
        ) from error


def _arguments(batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(batch, Mapping):
        return (), dict(batch)
    return (tuple(batch), {}) if isinstance(batch, (tuple, list)) else ((batch,), {})
