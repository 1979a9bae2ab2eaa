"""Exported programs and ONNX files as modules, so that they can be held against a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from normfix.errors import UsageError


def is_artefact(target: str) -> bool:
    """Is it a file that holds a whole model."""
    return target.endswith((".pt2", ".onnx"))


def load_artefact(path: str) -> nn.Module:
    """The model in a `.pt2` or `.onnx` file. Raises `UsageError` where the file cannot be read."""
    if not Path(path).is_file():
        raise UsageError(f"cannot read `{path}`: there is no such file")
    try:
        if path.endswith(".pt2"):
            from normfix.readers.program import load

            program: nn.Module = load(path).module()
            return program
        return InRuntime(Path(path).read_bytes())
    except UsageError:
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"cannot read `{path}`: {type(error).__name__}: {reason}") from error


class InRuntime(nn.Module):
    """An ONNX model that ONNX Runtime runs, in the dtypes of the file, whatever it is given."""

    def __init__(self, serialised: bytes) -> None:
        super().__init__()
        from normfix.proof.runtime import session

        self.serialised = serialised
        self._session = session(serialised)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        names = [entry.name for entry in self._session.get_inputs()]
        kinds = [_DTYPES.get(entry.type) for entry in self._session.get_inputs()]
        if len(inputs) != len(names):
            raise ValueError(f"the ONNX model reads {len(names)} inputs, not {len(inputs)}")
        with _disable_current_modes():
            fed = {name: value.to(kind).numpy() for name, kind, value in zip(names, kinds, inputs, strict=True)}
            return tuple(torch.from_numpy(array) for array in self._session.run(None, fed))

    def __deepcopy__(self, memo: dict[int, Any]) -> InRuntime:
        return InRuntime(self.serialised)


_DTYPES = {
    "tensor(float)": torch.float32, "tensor(double)": torch.float64, "tensor(float16)": torch.float16,
    "tensor(int64)": torch.int64, "tensor(int32)": torch.int32, "tensor(bool)": torch.bool,
}  # fmt: skip
