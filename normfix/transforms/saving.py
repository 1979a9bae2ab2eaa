"""Write a rewritten model to a file whose suffix says what it is; the file is there whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from normfix.errors import UsageError
from normfix.files import require_room
from normfix.proof import runtime

SUFFIXES = {
    ".pt2": "an exported program",
    ".onnx": "an ONNX model",
    ".safetensors": "a state dict",
    ".pt": "a state dict",
}


def require_suffix(path: str) -> None:
    """Raises `UsageError` for a path that `save` could not write, before any work is done."""
    if Path(path).suffix not in SUFFIXES:
        known = ", ".join(f"{suffix} ({what})" for suffix, what in SUFFIXES.items())
        raise UsageError(f"cannot write `{path}`: expected one of {known}")
    require_room(path)


def save(model: nn.Module | ExportedProgram, path: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Write the model. Raises `UsageError` where it cannot be exported, or the disk refuses."""
    suffix = Path(path).suffix
    try:
        if suffix in (".pt", ".safetensors"):
            save_state(dict(model.state_dict), path) if isinstance(model, ExportedProgram) else save_state(
                model.state_dict(), path
            )
            return
        program = model if isinstance(model, ExportedProgram) else _export(model, args, kwargs, path)
        if suffix == ".pt2":
            _atomically(path, lambda partial: torch.export.save(program, partial))
        else:
            _save_onnx(program, path, args, kwargs)
    except OSError as error:
        raise UsageError(f"cannot write `{path}`: {error.strerror or error}") from error


def save_state(state: Mapping[str, Any], path: str, metadata: Mapping[str, str] | None = None) -> None:
    """Write a state dict as `.safetensors`, with this metadata, or as `.pt`, which has none."""
    if Path(path).suffix == ".safetensors":
        from safetensors.torch import save_file

        # The format knows no tied tensors: each name gets values of its own.
        odd = next((name for name, value in state.items() if not isinstance(value, torch.Tensor)), None)
        if odd is not None:
            raise UsageError(f"cannot write `{path}`: `{odd}` is no tensor, which only .pt can hold")
        whole = {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}
        _atomically(path, lambda partial: save_file(whole, partial, dict(metadata or {}) or None))
    else:
        _atomically(path, lambda partial: torch.save(dict(state), partial))


def _export(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], path: str) -> ExportedProgram:
    try:
        return torch.export.export(model, args, dict(kwargs), strict=False)
    except Exception as error:
        raise UsageError(f"cannot write `{path}`: the model cannot be exported: {error}") from error


def _save_onnx(program: ExportedProgram, path: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    try:
        with runtime.quiet():
            exported = torch.onnx.export(program, dynamo=True, verbose=False)
    except Exception as error:
        raise UsageError(f"cannot write `{path}`: the model cannot be exported to ONNX: {error}") from error
    if exported is None:
        raise UsageError(f"cannot write `{path}`: the exporter returned nothing")
    _atomically(path, exported.save)


def _atomically(path: str, write: Callable[[str], object]) -> None:
    """Write into a private folder beside `path`, then move what is there (an ONNX model may have a data file)."""
    target = Path(os.path.realpath(path))  # where a link leads, so that it stays one
    with tempfile.TemporaryDirectory(prefix=".normfix-", dir=target.parent) as folder:
        write(str(Path(folder) / target.name))
        for written in sorted(Path(folder).iterdir(), key=lambda part: part.name == target.name):
            written.replace(target.parent / written.name)
