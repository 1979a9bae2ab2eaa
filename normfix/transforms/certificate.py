"""The certificate of a rewrite: what was rewritten, with which versions, and the numbers of the proof, as JSON."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from normfix.files import put
from normfix.proof.measure import leaves
from normfix.rewrites import Rewrite

_PACKAGES = ("normfix", "torch", "onnx", "onnxscript", "onnxruntime", "numpy")


def certificate(rewrite: Rewrite, before: nn.Module, inputs: object) -> dict[str, Any]:
    """Everything that a reader needs to hold a file against this proof. Hashes are SHA-256 over names, dtypes, shapes
    and values of the state dict, in the order of the names."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "class": f"{type(before).__module__}.{type(before).__qualname__}",
        "before": hash_state(before.state_dict()),
        "after": hash_state(_state(rewrite.model)),
        "inputs": [{**_describe(tensor), "sha256": _hash([tensor])} for tensor in leaves(inputs)],
        **rewrite.as_dict(),
    }


def write(path: str, rewrite: Rewrite, before: nn.Module, inputs: object) -> None:
    """Write the certificate to a file, whole or not at all. Raises `UsageError` where the disk refuses."""
    put(path, (json.dumps(_plain(certificate(rewrite, before, inputs)), indent=2) + "\n").encode())


def hash_state(state: Mapping[str, Any]) -> str:
    """One hash for all tensors of a state dict."""
    digest = hashlib.sha256()
    for name in sorted(state):
        if isinstance(state[name], Tensor):
            digest.update(f"{name} {_describe(state[name])} ".encode())
            digest.update(_bytes(state[name]))
    return digest.hexdigest()


def _hash(tensors: list[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def _describe(tensor: Tensor) -> dict[str, Any]:
    return {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}


def _state(model: object) -> Mapping[str, Any]:
    if isinstance(model, ExportedProgram):
        return dict(model.state_dict)
    return dict(model.state_dict()) if isinstance(model, nn.Module) else {}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and value - value != 0 else value
