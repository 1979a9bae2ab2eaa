"""Which modules activation checkpointing runs: the backward pass will run them once more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch.utils.checkpoint as checkpointing
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook


@contextmanager
def watching() -> Iterator[set[nn.Module]]:
    """Collects the modules that run inside `torch.utils.checkpoint`, whatever name it was imported under."""
    seen: set[nn.Module] = set()
    reentrant: Any = checkpointing.CheckpointFunction.apply
    other = checkpointing._checkpoint_without_reentrant_generator

    def apply(*arguments: Any) -> Any:
        with _noting(seen):
            return reentrant(*arguments)

    def generator(*arguments: Any, **keywords: Any) -> Iterator[Any]:
        with _noting(seen):
            yield from other(*arguments, **keywords)

    with (
        patch.object(checkpointing.CheckpointFunction, "apply", apply),
        patch.object(checkpointing, "_checkpoint_without_reentrant_generator", generator),
    ):
        yield seen


@contextmanager
def _noting(seen: set[nn.Module]) -> Iterator[None]:
    hook = register_module_forward_pre_hook(lambda module, inputs: seen.add(module))
    try:
        yield
    finally:
        hook.remove()
