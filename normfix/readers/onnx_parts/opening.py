"""Opens an ONNX file, and sets the sizes that it leaves open."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no stubs here

from normfix.errors import UsageError


def load(path: str) -> onnx.ModelProto:
    """The model in a file, without its external data. Raises UsageError for a file that is none."""
    try:
        model = onnx.load(path, load_external_data=False)
    except FileNotFoundError as error:
        raise UsageError(f"cannot read `{path}`: there is no such file") from error
    except (DecodeError, OSError, ValueError) as error:
        raise UsageError(f"cannot read `{path}`: it is no ONNX model, or cut off ({error})") from error
    if not model.graph.node or not model.graph.output:
        raise UsageError(f"cannot read `{path}`: it is no ONNX model, or an empty one")
    return model


def fix_inputs(model: onnx.ModelProto, shapes: Sequence[Sequence[int]], path: str) -> None:
    """Give the inputs of a model these sizes where it leaves them open. Raises UsageError where they do not fit."""
    if not shapes:
        return
    stored = {initializer.name for initializer in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in stored]
    if len(inputs) != len(shapes):
        raise UsageError(f"cannot read `{path}` with {len(shapes)} inputs: it has {len(inputs)}")
    for one, shape in zip(inputs, shapes, strict=True):
        sizes = one.type.tensor_type.shape.dim
        fixed = [size.dim_value for size in sizes]
        if len(fixed) != len(shape) or any(want and want != have for want, have in zip(fixed, shape, strict=True)):
            raise UsageError(f"cannot read `{path}`: the shape {tuple(shape)} does not fit its input `{one.name}`")
        for size, value in zip(sizes, shape, strict=True):
            size.dim_value = value
