"""Reads a checkpoint into layer graphs: what a state dict tells of its norms. Code in it is never executed."""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from normfix.errors import UsageError
from normfix.graph import Argument, Layer, LayerGraph, Site, Tensor, Unknown
from normfix.readers.live.layers import tensor_facts

_WRAPPERS = ("module.", "_orig_mod.", "model._orig_mod.")
"""What DataParallel, DDP and torch.compile put before every name."""
_NOT_A_MODEL = re.compile(r"optim|sched|scaler|rng|args|config|hyper", re.IGNORECASE)
_GLOBAL = re.compile(r"GLOBAL (\S+)")
_BOMB = 200
"""Torch stores tensors uncompressed: a file that unpacks to so many times its size was made to harm."""
_UNTOLD = Unknown("a checkpoint does not hold it")


def read(path: str) -> list[LayerGraph]:
    """The layers of every state dict in a file: one for a plain checkpoint, several where it holds several models.

    `.safetensors`, `.pt`/`.pth`/`.bin`/`.ckpt` (tensors only, by `weights_only`), and the index of a sharded one.
    Raises UsageError for a file that is missing, cut off, holds code or no state dict.
    """
    if not Path(path).is_file():
        raise UsageError(f"cannot read `{path}`: there is no such file")
    found = [(name, tensors) for name, tensors in _state_dicts(path) if tensors]
    if not found:
        raise UsageError(f"cannot read `{path}`: it holds no state dict")
    return [_graph(name or Path(path).name, tensors) for name, tensors in found]


def _state_dicts(path: str) -> list[tuple[str, dict[str, Tensor]]]:
    if path.endswith(".index.json"):
        return [("", _sharded(Path(path)))]
    if path.endswith(".safetensors"):
        return [("", _safetensors(Path(path)))]
    held = load(Path(path), mapped=True)
    return [(name, _facts(tensors)) for name, tensors in _nested(held, "")]


def _safetensors(path: Path) -> dict[str, Tensor]:
    require_safetensors(path)
    # The header is read at once, not name by name.
    header = _header(path)
    opened = cache(partial(_open, path))
    return {name: _lazy(opened, name, entry) for name, entry in header.items() if name != "__metadata__"}


def _open(path: Path) -> Any:
    """The file for its tensors. Opening it reads the whole header, so that one does for all of them."""
    handle: Any = safe_open(path, framework="pt")
    return handle.__enter__()  # mapped, and let go with the graph


def require_safetensors(path: Path) -> None:
    """Raises UsageError where header and data of the file do not fit."""
    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise UsageError(f"cannot read `{path}`: it is no safetensors file, or cut off ({error})") from error


def _header(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header: Mapping[str, Any] = json.loads(file.read(length))
        return header


_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


def _lazy(opened: Callable[[], Any], name: str, entry: Mapping[str, Any]) -> Tensor:
    """One tensor of a safetensors file: shape and dtype from its header, elements on demand."""

    def values() -> list[float]:
        plain: list[float] = opened().get_tensor(name).to(torch.float64).flatten().tolist()
        return plain

    dtype = str(entry["dtype"])
    return Tensor(tuple(entry["shape"]), _DTYPES.get(dtype, dtype.lower()), "cpu", values, names=(name,))


def _sharded(path: Path) -> dict[str, Tensor]:
    try:
        names: Mapping[str, str] = json.loads(path.read_text("utf-8"))["weight_map"]
        shards = sorted(set(names.values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"cannot read `{path}`: it is no index of a sharded checkpoint") from error
    found: dict[str, Tensor] = {}
    for shard in shards:
        file = path.parent / shard
        if not file.resolve().is_relative_to(path.parent.resolve()) or not file.is_file():
            raise UsageError(f"cannot read `{path}`: its shard `{shard}` is not a file beside it")
        for _, tensors in _state_dicts(str(file)):
            found.update(tensors)
    missing = next((name for name in names if name not in found), None)
    if missing is not None:
        raise UsageError(f"cannot read `{path}`: no shard holds `{missing}`")
    return found


def load(path: Path, *, mapped: bool = False) -> object:
    """What torch.save wrote: tensors and plain values, `mapped` from the file where that is possible.

    Raises UsageError for a file that is cut off, or holds code, which is not executed.
    """
    try:
        _require_no_bomb(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and zipfile.is_zipfile(path))
    except UsageError:
        raise
    except Exception as error:
        # A foreign file can break the unpickler in any way.
        text = str(error)
        code = _GLOBAL.search(text)
        if code is not None:
            reason = f"it holds more than tensors (`{code[1]}`), which is not executed; save its state_dict"
        elif "TorchScript" in text:
            reason = "it is a TorchScript program; save the state_dict of the model it was made of"
        else:
            reason = f"it is no checkpoint, or cut off ({type(error).__name__})"
        raise UsageError(f"cannot read `{path}`: {reason}") from error


def _require_no_bomb(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > _BOMB * max(path.stat().st_size, 1 << 20):
        raise UsageError(f"cannot read `{path}`: it unpacks to {unpacked} bytes, more than {_BOMB} times its size")


def _nested(held: object, name: str, depth: int = 0) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """The state dicts inside what was saved, by the keys that lead to them; an optimizer's state is none."""
    if not isinstance(held, Mapping) or depth > 4:
        return
    tensors = {key: value for key, value in held.items() if isinstance(key, str) and isinstance(value, torch.Tensor)}
    if any("." in key for key in tensors) or (depth and tensors and len(tensors) == len(held)):
        yield name, tensors
        return
    inner = [
        found
        for key, value in held.items()
        if isinstance(key, str) and not _NOT_A_MODEL.search(key)
        for found in _nested(value, f"{name}.{key}" if name else key, depth + 1)
    ]
    if not inner and tensors and depth == 0:
        yield name, tensors
    yield from inner


def _facts(tensors: Mapping[str, torch.Tensor]) -> dict[str, Tensor]:
    sharing: dict[object, list[str]] = {}
    keys: dict[str, object] = {}
    for name, tensor in tensors.items():
        keys[name] = (tensor.data_ptr(), tensor.shape) if tensor.numel() else name
        sharing.setdefault(keys[name], []).append(name)
    return {name: tensor_facts(tensor, tuple(sharing[keys[name]])) for name, tensor in tensors.items()}


def _graph(name: str, tensors: Mapping[str, Tensor]) -> LayerGraph:
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        prefix, _, local = key.rpartition(".")
        groups.setdefault(prefix, {})[local] = tensor
    plain = _unwrapped(groups)
    layers = [_layer(prefix, plain(prefix), state) for prefix, state in groups.items()]
    return LayerGraph(name, layers, open=Unknown("a checkpoint holds no calls"))


def _unwrapped(groups: Mapping[str, object]) -> Callable[[str], str]:
    """Takes a wrapper's prefix off, if every name has it."""
    for wrapper in _WRAPPERS:
        if all(f"{prefix}.".startswith(wrapper) for prefix in groups):
            return lambda prefix: f"{prefix}."[len(wrapper) :].removesuffix(".")
    return lambda prefix: prefix


def _layer(prefix: str, name: str, state: Mapping[str, Tensor]) -> Layer:
    """A norm with statistics is told by their names; of other layers a checkpoint only tells the tensors."""
    if "running_mean" in state and "running_var" in state:
        width = max(state["running_mean"].shape, default=0)
        arguments: dict[str, object] = {
            "num_features": width,
            "affine": "weight" in state,
            "track_running_stats": True,
            "training": _UNTOLD,
            "eps": _UNTOLD,
            "momentum": _UNTOLD,
        }
        kind, reason = "batch_norm", ""
    else:
        kind, reason, arguments = "unknown", "a checkpoint does not tell what this layer is", {}
    return Layer(
        kind,
        name,
        Site(module=prefix),
        {key: Argument(value) for key, value in arguments.items()},
        reason=reason,
        state=state,
        training=_UNTOLD,
        aliases=(name,),
    )
