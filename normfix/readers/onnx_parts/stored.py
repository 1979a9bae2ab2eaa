"""Initializers of an ONNX file as tensors whose elements are read when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy
import onnx
from onnx import numpy_helper

from normfix.graph import Tensor, Undecided

_DTYPES = {
    "FLOAT": "float32",
    "DOUBLE": "float64",
    "FLOAT16": "float16",
    "BFLOAT16": "bfloat16",
    "INT64": "int64",
    "INT32": "int32",
    "BOOL": "bool",
}


def dtype_name(element: int) -> str:
    """An ONNX element type as torch names it."""
    name = str(onnx.TensorProto.DataType.Name(element))
    return _DTYPES.get(name, name.lower())


def tensor_facts(initializer: onnx.TensorProto, folder: Path) -> Tensor:
    """An initializer as checks see it. External data is read from the model's own folder only, and only on demand."""

    def values() -> Sequence[float]:
        array = array_of(initializer, folder)
        plain: list[float] = array.astype(numpy.float64).ravel().tolist()
        return plain

    return Tensor(
        tuple(initializer.dims),
        dtype_name(initializer.data_type),
        "cpu",
        values,
        requires_grad=False,
        names=(initializer.name,),
    )


def array_of(initializer: onnx.TensorProto, folder: Path) -> numpy.ndarray:
    """The elements of an initializer. Raises `Undecided` where they lie outside the folder or are cut off."""
    if initializer.data_location != onnx.TensorProto.EXTERNAL:
        return numpy.asarray(numpy_helper.to_array(initializer))
    inline = onnx.TensorProto()
    inline.CopyFrom(initializer)
    inline.ClearField("external_data")
    inline.data_location = onnx.TensorProto.DEFAULT
    inline.raw_data = _external(initializer, folder)
    try:
        return numpy.asarray(numpy_helper.to_array(inline))
    except ValueError as error:
        raise Undecided(f"the external data of `{initializer.name}` does not fit its shape: {error}") from error


def _external(initializer: onnx.TensorProto, folder: Path) -> bytes:
    entries = {entry.key: str(entry.value) for entry in initializer.external_data}
    root = folder.resolve()
    path = (root / entries.get("location", "")).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise Undecided(f"the external data of `{initializer.name}` is not a file in the folder of the model")
    length = int(entries.get("length") or path.stat().st_size)
    if length > path.stat().st_size:
        raise Undecided(f"the external data of `{initializer.name}` is cut off")
    with path.open("rb") as file:
        file.seek(int(entries.get("offset") or 0))
        return file.read(length)
