"""Read a state dict from a file, without running anything that is in it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from normfix.errors import UsageError
from normfix.readers import checkpoint

_NESTED = ("state_dict", "model_state_dict", "model", "module")
_WRAPPERS = ("module.", "_orig_mod.", "module.")
"""What wrappers put before every name, from outside inwards."""
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


def read(path: str, names: Collection[str] = ()) -> dict[str, Any]:
    """The tensors of a checkpoint, by name, and the extra state of modules. A state dict one level down (`state_dict`,
    `model`) is found; what DataParallel and torch.compile put before every name is taken off, unless `names`, those of
    the model, begin so. Raises `UsageError`, also for a file that would run code."""
    return read_with_rest(path, names)[0]


def read_with_rest(path: str, names: Collection[str] = ()) -> tuple[dict[str, Any], list[str]]:
    """The same, and the names of what else the file holds: an optimizer's state, a second model, plain values."""
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"cannot read `{path}`: {'it is no file' if file.exists() else 'there is no such file'}")
    if file.suffix not in SUFFIXES:
        raise UsageError(f"cannot read `{path}`: expected one of {', '.join(SUFFIXES)}")
    found, rest = _tensors(_load(file))
    if not found:
        raise UsageError(f"cannot read `{path}`: it holds no tensors by name")
    return _unwrapped(found, names), rest


def metadata(path: str) -> dict[str, str]:
    """What a `.safetensors` file says about itself; empty for any other file."""
    if Path(path).suffix != ".safetensors":
        return {}
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def _load(file: Path) -> Any:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        checkpoint.require_safetensors(file)
        return load_file(file)
    return checkpoint.load(file)


def _tensors(found: Any) -> tuple[dict[str, Any], list[str]]:
    if not isinstance(found, dict):
        return {}, []
    rest: list[str] = []
    for name in _NESTED:
        if isinstance(found.get(name), dict):
            rest = [str(other) for other in found if other != name]
            found = found[name]
            break
    state = {
        str(name): value
        for name, value in found.items()
        if isinstance(value, torch.Tensor) or str(name).endswith("_extra_state")
    }
    return state, [*rest, *(str(name) for name in found if str(name) not in state)]


def _unwrapped(state: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    for prefix in _WRAPPERS:
        if all(name.startswith(prefix) for name in state) and not any(name.startswith(prefix) for name in names):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state
