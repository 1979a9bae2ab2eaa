"""Read a state dict from a file, without running anything that is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from normfix.errors import UsageError
from normfix.readers import checkpoint

_NESTED = ("state_dict", "model_state_dict", "model", "module")
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


def read(path: str) -> dict[str, Any]:
    """The tensors of a checkpoint, by name. A state dict one level down (`state_dict`, `model`) is found; the
    `module.` of DataParallel is taken off. Raises `UsageError`, also for a file that would run code."""
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"cannot read `{path}`: there is no such file")
    if file.suffix not in SUFFIXES:
        raise UsageError(f"cannot read `{path}`: expected one of {', '.join(SUFFIXES)}")
    found = _tensors(_load(file))
    if not found:
        raise UsageError(f"cannot read `{path}`: it holds no tensors by name")
    return found


def _load(file: Path) -> Any:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        checkpoint.require_safetensors(file)
        return load_file(file)
    return checkpoint.load(file)


def _tensors(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        return {}
    for name in _NESTED:
        if isinstance(found.get(name), dict):
            found = found[name]
            break
    tensors = {str(name): value for name, value in found.items() if isinstance(value, torch.Tensor)}
    if tensors and all(name.startswith("module.") for name in tensors):
        return {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors
