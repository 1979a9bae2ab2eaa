"""ONNX nodes as layers: the kinds and arguments of torch, read off attributes and the shapes of initializers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy
import onnx

from normfix import graph
from normfix.graph import Argument, Tensor, Unknown

Arguments = dict[str, object]


@dataclass(frozen=True)
class Node:
    """One node with what is known around it."""

    op: str
    attributes: Mapping[str, Any]
    inputs: tuple[str, ...]
    stored: Mapping[str, Tensor]
    """The initializers among its inputs, by name."""
    shapes: Mapping[str, graph.Shape]
    ranks: Mapping[str, int]
    """Known more often than shapes: an open batch size leaves the rank."""
    opset: int
    outputs: int

    def tensor(self, index: int) -> Tensor | None:
        """The initializer at this input; None where there is none, or it is computed."""
        return self.stored.get(self.inputs[index]) if index < len(self.inputs) else None

    def shape(self, index: int = 0) -> graph.Shape | None:
        """The shape of this input, where it is known."""
        return self.shapes.get(self.inputs[index]) if index < len(self.inputs) else None

    def rank(self) -> int:
        """The number of dimensions of the first input; 0 where it is not known."""
        return self.ranks.get(self.inputs[0], 0)

    def number(self, name: str, default: float) -> float:
        """A float attribute: the shortest decimal that its 32 bits stand for."""
        return float(str(numpy.float32(self.attributes.get(name, default))))

    def given(self, index: int) -> bool:
        return index < len(self.inputs) and self.inputs[index] != ""


@dataclass(frozen=True)
class Made:
    """A layer in the making: kind, arguments, and which inputs are its own tensors under which names."""

    kind: str
    arguments: Arguments
    state: Mapping[str, int]
    training: bool = False


def layer_of(node: Node) -> Made | None:
    """What a node is as a layer with parameters of its own; None where it is an operation."""
    maker = _MAKERS.get(node.op)
    return maker(node) if maker is not None else None


def wrap(arguments: Arguments) -> dict[str, Argument]:
    """Plain values as arguments."""
    return {name: Argument(value) for name, value in arguments.items()}


def _window(node: Node, rank: int) -> Arguments:
    pads = list(node.attributes.get("pads") or [0] * 2 * rank)
    same = pads[:rank] == pads[rank:]
    padding: object = tuple(pads[:rank]) if same else Unknown("the padding is not symmetric")
    if node.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", ""):
        padding = Unknown("the padding is computed")
    return {
        "stride": tuple(node.attributes.get("strides") or [1] * rank),
        "padding": padding,
        "dilation": tuple(node.attributes.get("dilations") or [1] * rank),
        "groups": int(node.attributes.get("group", 1)),
        "bias": node.given(2),
        "padding_mode": "zeros",
    }


def _conv(node: Node) -> Made | None:
    weight = node.tensor(1)
    if weight is None or not 3 <= len(weight.shape) <= 5:
        return None
    rank = len(weight.shape) - 2
    window = _window(node, rank)
    groups = window["groups"]
    assert isinstance(groups, int)
    transposed = node.op == "ConvTranspose"
    first, second = weight.shape[:2]
    channels = (first, second * groups) if transposed else (second * groups, first)
    arguments = {"in_channels": channels[0], "out_channels": channels[1], "kernel_size": weight.shape[2:], **window}
    if transposed:
        arguments["output_padding"] = tuple(node.attributes.get("output_padding") or [0] * rank)
    return Made(f"Conv{'Transpose' if transposed else ''}{rank}d", arguments, {"weight": 1, "bias": 2})


def _gemm(node: Node) -> Made | None:
    weight = node.tensor(1)
    plain = node.attributes.get("alpha", 1.0) == 1.0 and node.attributes.get("beta", 1.0) == 1.0
    if weight is None or len(weight.shape) != 2 or node.attributes.get("transA", 0) or not plain:
        return None
    outputs, inputs = weight.shape if node.attributes.get("transB", 0) else weight.shape[::-1]
    arguments: Arguments = {"in_features": inputs, "out_features": outputs, "bias": node.given(2)}
    return Made("Linear", arguments, {"weight": 1, "bias": 2})


def _matmul(node: Node) -> Made | None:
    weight = node.tensor(1)
    if weight is None or len(weight.shape) != 2:
        return None
    arguments: Arguments = {"in_features": weight.shape[0], "out_features": weight.shape[1], "bias": False}
    return Made("Linear", arguments, {"weight": 1})


def _batch_norm(node: Node) -> Made | None:
    scale = node.tensor(1)
    if scale is None:
        return None
    # Before opset 14 the training form was told by its additional outputs.
    training = bool(node.attributes.get("training_mode", 0)) if node.opset >= 14 else node.outputs > 1
    arguments: Arguments = {
        "num_features": scale.shape[0],
        "eps": node.number("epsilon", 1e-5),
        "momentum": round(1.0 - node.number("momentum", 0.9), 9),
        "affine": True,
        # Without running statistics the exporters compute those of the batch beside the norm, and hand them to it.
        "track_running_stats": node.tensor(3) is not None,
        "bias": True,
        "training": training,
    }
    state = {"weight": 1, "bias": 2, "running_mean": 3, "running_var": 4}
    return Made(_ranked("BatchNorm", node.rank()) or "batch_norm", arguments, state, training)


def _instance_norm(node: Node) -> Made | None:
    scale = node.tensor(1)
    if scale is None:
        return None
    arguments: Arguments = {
        "num_features": scale.shape[0],
        "eps": node.number("epsilon", 1e-5),
        "affine": True,
        "track_running_stats": False,
        "use_input_stats": True,
    }
    return Made(_ranked("InstanceNorm", node.rank()) or "instance_norm", arguments, {"weight": 1, "bias": 2})


def _ranked(stem: str, rank: int) -> str | None:
    sizes = {2: 1, 3: 1, 4: 2, 5: 3}.get(rank)
    return None if sizes is None or (stem == "InstanceNorm" and rank == 2) else f"{stem}{sizes}d"


def _layer_norm(node: Node) -> Made | None:
    scale, shape = node.tensor(1), node.shape()
    axis = int(node.attributes.get("axis", -1))
    trailing: object = scale.shape if scale is not None else Unknown("the scale is computed")
    if shape is not None:
        trailing = shape[axis:]
    arguments: Arguments = {
        "normalized_shape": trailing,
        "eps": node.number("epsilon", 1e-5),
        "elementwise_affine": True,
    }
    if node.op == "LayerNormalization":
        return Made("LayerNorm", {**arguments, "bias": node.given(2)}, {"weight": 1, "bias": 2})
    return Made("RMSNorm", arguments, {"weight": 1})


def _group_norm(node: Node) -> Made | None:
    shape, scale = node.shape(), node.tensor(1)
    channels: object = Unknown("the number of channels is not known")
    if shape is not None:
        channels = shape[1]
    elif scale is not None and node.opset >= 21:
        channels = scale.shape[0]
    arguments: Arguments = {
        "num_groups": int(node.attributes["num_groups"]),
        "num_channels": channels,
        "eps": node.number("epsilon", 1e-5),
        "affine": True,
    }
    return Made("GroupNorm", arguments, {"weight": 1, "bias": 2})


def _local_response_norm(node: Node) -> Made | None:
    arguments: Arguments = {
        "size": int(node.attributes["size"]),
        "alpha": node.number("alpha", 1e-4),
        "beta": node.number("beta", 0.75),
        "k": node.number("bias", 1.0),
    }
    return Made("LocalResponseNorm", arguments, {})


_MAKERS: Mapping[str, Callable[[Node], Made | None]] = {
    "Conv": _conv,
    "ConvTranspose": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _layer_norm,
    "SimplifiedLayerNormalization": _layer_norm,
    "GroupNormalization": _group_norm,
    "LRN": _local_response_norm,
}


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Attributes as plain values; text is decoded."""
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        found[attribute.name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return found
