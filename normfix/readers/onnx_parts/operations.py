"""ONNX nodes without parameters of their own: their words in `vocabulary`, and torch's names of their arguments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import onnx

from normfix import vocabulary
from normfix.graph import Unknown

_KINDS = {
    "ReduceMean": "mean",
    "ReduceSum": "sum",
    "ReduceMax": "amax",
    "Transpose": "permute",
    "Concat": "cat",
    "Identity": "Identity",
    "Dropout": "Dropout",
    "Gemm": "addmm",
    "Conv": "conv",
    "ConvTranspose": "conv_transpose",
    "BatchNormalization": "batch_norm",
    "InstanceNormalization": "instance_norm",
    "GlobalAveragePool": "adaptive_avg_pool2d",
    "GlobalMaxPool": "adaptive_max_pool2d",
    "AveragePool": "avg_pool2d",
    "MaxPool": "max_pool2d",
    "Resize": "interpolate",
    "HardSwish": "hardswish",
    "HardSigmoid": "hardsigmoid",
    "LeakyRelu": "leaky_relu",
    "PRelu": "prelu",
    "LogSoftmax": "log_softmax",
    "MatMul": "matmul",
}


def kind_of(op: str) -> str:
    """The word of `vocabulary` for an operation: "ReduceMean" is "mean", "GlobalAveragePool" is a pool."""
    if op in _KINDS:
        return _KINDS[op]
    return vocabulary.canonical(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", op).lower())


def outer_names(proto: onnx.NodeProto) -> Iterable[str]:
    """Names that the graphs inside a node (If, Loop) take from outside it."""
    for attribute in proto.attribute:
        for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
            made = {name for node in inner.node for name in node.output}
            made |= {one.name for one in (*inner.input, *inner.initializer)}
            for node in inner.node:
                yield from (name for name in (*node.input, *outer_names(node)) if name not in made)
            yield from (one.name for one in inner.output if one.name not in made)


def named_arguments(
    kind: str, plain: Mapping[str, object], given: Mapping[str, object], inputs: int
) -> dict[str, object]:
    """The arguments that checks know by torch's names: `plain` ones are attributes, `given` ones constant inputs."""
    if kind in ("mean", "sum", "amax"):
        axes = plain.get("axes", given.get("1", () if inputs < 2 else Unknown("the axes are computed")))
        return {"dim": tuple(axes) if isinstance(axes, (list, tuple)) else axes, "keepdim": plain.get("keepdims", 1)}
    if kind == "permute":
        perm = plain.get("perm")
        return {"dims": tuple(perm) if isinstance(perm, list) else Unknown("the axes are reversed")}
    if kind == "pow":
        return {"exponent": given.get("1", Unknown("the exponent is computed"))}
    if kind in ("reshape", "view"):
        return {"shape": given.get("1", Unknown("the shape is computed"))}
    if kind == "Dropout":
        return {"p": given.get("1", plain.get("ratio", 0.5))}
    return {}
