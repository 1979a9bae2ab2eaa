"""Reads an ONNX file into a layer graph. Weights stay on disk until a check asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy
import onnx
import onnx.inliner

from normfix import graph
from normfix.errors import UsageError
from normfix.graph import Call, Layer, LayerGraph, Site, Tensor, Unknown
from normfix.readers.onnx_parts.layers import Made, Node, attributes_of, layer_of, wrap
from normfix.readers.onnx_parts.names import name_of, origin_of
from normfix.readers.onnx_parts.opening import fix_inputs, load
from normfix.readers.onnx_parts.operations import kind_of, named_arguments, outer_names
from normfix.readers.onnx_parts.stored import array_of, dtype_name, tensor_facts

_SMALL = 64
"""Constants of up to this many elements (axes, shapes, exponents) become arguments of the nodes that read them."""
_INITIAL = frozenset({0.0, 1.0})


def read(path: str, shapes: Sequence[Sequence[int]] = ()) -> LayerGraph:
    """The layers and calls of an ONNX file. `shapes` stands for its inputs where the file leaves sizes open.

    Raises UsageError for a file that is missing or is no ONNX model, and for shapes that do not fit its inputs.
    """
    model = load(path)
    try:
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        fix_inputs(model, shapes, path)
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        return _Reader(model, Path(path)).run()
    except UsageError:
        raise
    except Exception as error:
        # A damaged file can break any assumption about names, types and attributes.
        raise UsageError(f"cannot read `{path}`: {str(error).strip().partition(chr(10))[0]}") from error


@dataclass
class _Reader:
    model: onnx.ModelProto
    path: Path
    calls: list[Call] = field(default_factory=list)
    layers: dict[object, Layer] = field(default_factory=dict)
    values: dict[str, Call] = field(default_factory=dict)
    constants: dict[str, object] = field(default_factory=dict)
    """Values of small integer or single constants, by name."""

    def __post_init__(self) -> None:
        proto = self.model.graph
        folder = self.path.parent
        self.opset = next((one.version for one in self.model.opset_import if one.domain in ("", "ai.onnx")), 1)
        self.stored: dict[str, Tensor] = {one.name: tensor_facts(one, folder) for one in proto.initializer}
        self.types = {one.name: one.type for one in (*proto.input, *proto.value_info, *proto.output)}
        self.shapes = {name: shape for name in self.types if (shape := self._shape(name)) is not None}
        self.ranks = {
            name: len(kind.tensor_type.shape.dim)
            for name, kind in self.types.items()
            if kind.HasField("tensor_type") and kind.tensor_type.HasField("shape")
        }
        self.shapes.update({name: tensor.shape for name, tensor in self.stored.items()})
        for one in proto.initializer:
            self._remember(one.name, one)

    def run(self) -> LayerGraph:
        proto = self.model.graph
        for one in proto.input:
            if one.name not in self.stored:
                layer = Layer("input", one.name, training=False)
                self.values[one.name] = self._append(Call(layer, (), *self._facts(one.name), training=False))
        for node in proto.node:
            self._node(node)
        outputs = [self._read(one.name) for one in proto.output]
        found = [call for call in outputs if isinstance(call, Call)]
        return LayerGraph(self.path.name, list(self.layers.values()), self.calls, found)

    def _node(self, proto: onnx.NodeProto) -> None:
        if not self._is_stored(proto):
            self._call(proto)

    def _is_stored(self, proto: onnx.NodeProto) -> bool:
        """Is this a constant, or does it hand on what is stored: that is remembered, and no call is made."""
        if proto.op_type == "Constant":
            for attribute in proto.attribute:
                self._remember(proto.output[0], onnx.helper.get_attribute_value(attribute))
            if not any(name in self.constants for name in proto.output):
                self._constant(proto.output[0])
            return True
        if proto.op_type == "Reshape" and proto.input[0] in self.constants:
            # The new exporter writes the axes of a reduction as a constant and its reshape to one dimension.
            self.constants[proto.output[0]] = self.constants[proto.input[0]]
            return True
        if proto.op_type == "Identity" and proto.input[0] in self.stored:
            # The old exporter stores equal tensors once and hands them on through identities.
            self.stored[proto.output[0]] = self.stored[proto.input[0]]
            self.shapes[proto.output[0]] = self.stored[proto.input[0]].shape
            return True
        return False

    def _call(self, proto: onnx.NodeProto) -> None:
        node = Node(
            proto.op_type,
            attributes_of(proto),
            tuple(proto.input),
            self.stored,
            self.shapes,
            self.ranks,
            self.opset,
            sum(bool(name) for name in proto.output),
        )
        made = layer_of(node) if proto.domain in ("", "ai.onnx", "com.microsoft") else None
        layer, own = self._own_layer(proto, node, made) if made else (self._operation(proto, node), frozenset[str]())
        sources = [name for name in (*proto.input, *outer_names(proto)) if name and name not in own]
        call = Call(
            layer,
            tuple(dict.fromkeys(self._read(name) for name in sources if name not in self.constants)),
            *self._facts(proto.output[0]),
            Site(origin_of(proto), layer.site.module),
            made.training if made else False,
        )
        self._append(call)
        self._hand_out(call, [name for name in proto.output if name])

    def _own_layer(self, proto: onnx.NodeProto, node: Node, made: Made) -> tuple[Layer, frozenset[str]]:
        named = {
            name: proto.input[index]
            for name, index in made.state.items()
            if index < len(proto.input) and proto.input[index] in self.stored
        }
        own = frozenset(named.values())
        name = name_of(proto, list(named.values()))
        key: object = (made.kind, tuple(named.items()), repr(made.arguments))
        # Exporters share equal tensors, and fresh norms are all equal: only trained statistics tell one layer.
        if not own or self._is_fresh(named):
            key = proto.output[0]
        if key not in self.layers:
            self.layers[key] = Layer(
                made.kind,
                name,
                Site(module=name),
                wrap(made.arguments),
                state={local: self.stored[stored] for local, stored in named.items()},
                training=made.training,
            )
        return self.layers[key], own

    def _is_fresh(self, named: Mapping[str, str]) -> bool:
        for stored in named.values():
            tensor = self.stored[stored]
            try:
                if len(tensor.shape) != 1 or not set(tensor.values()) <= _INITIAL:
                    return False
            except graph.Undecided:
                return False
        return True

    def _operation(self, proto: onnx.NodeProto, node: Node) -> Layer:
        kind = kind_of(proto.op_type)
        reason = ""
        if proto.domain not in ("", "ai.onnx", "com.microsoft"):
            kind, reason = "unknown", f"`{proto.domain}::{proto.op_type}` is no operator of ONNX"
        elif any(attribute.HasField("g") or attribute.graphs for attribute in proto.attribute):
            kind, reason = "unknown", f"`{proto.op_type}` runs a graph of its own"
        plain = {key: value for key, value in node.attributes.items() if isinstance(value, (int, float, str, list))}
        given = {str(index): self.constants[name] for index, name in enumerate(proto.input) if name in self.constants}
        name = proto.name or proto.output[0]
        arguments = wrap({**plain, **given, **named_arguments(kind, plain, given, len(proto.input))})
        return Layer(kind, name, Site(module=name), arguments, reason=reason, training=False)

    def _hand_out(self, call: Call, names: Sequence[str]) -> None:
        """A node with several results gives a "getitem" for each but the first of a norm, whose rest are statistics."""
        if len(names) == 1 or call.layer.state:
            self.values[names[0]] = call
            return
        for index, name in enumerate(names):
            layer = Layer("getitem", name, call.layer.site, wrap({"index": index}), training=False)
            self.values[name] = self._append(Call(layer, (call,), *self._facts(name), call.site, False))

    def _read(self, name: str) -> Call | Unknown:
        if name in self.values:
            return self.values[name]
        if name in self.stored or name in self.constants:
            return self._constant(name)
        return Unknown(f"nothing in the file makes `{name}`")

    def _constant(self, name: str) -> Call:
        tensor = self.stored.get(name)
        layer = Layer("constant", name, Site(module=name), state={name: tensor} if tensor is not None else {})
        self.values[name] = self._append(Call(layer, (), *self._facts(name), training=False))
        return self.values[name]

    def _append(self, call: Call) -> Call:
        self.calls.append(call)
        return call

    def _remember(self, name: str, value: object) -> None:
        if isinstance(value, onnx.TensorProto):
            if numpy.prod(value.dims, dtype=numpy.int64) > _SMALL or len(value.dims) > 1:
                return
            if value.data_type not in (onnx.TensorProto.INT64, onnx.TensorProto.INT32) and value.dims:
                return
            try:
                value = array_of(value, self.path.parent).tolist()
            except (graph.Undecided, ValueError):
                return
        if isinstance(value, (int, float, list, tuple)) and not isinstance(value, bool):
            self.constants[name] = tuple(value) if isinstance(value, (list, tuple)) else value

    def _facts(self, name: str) -> tuple[graph.Shape | Unknown, str | Unknown]:
        kind = self.types.get(name)
        if name in self.stored:
            return self.stored[name].shape, self.stored[name].dtype
        if kind is None or not kind.HasField("tensor_type"):
            return Unknown("the file does not tell this shape"), Unknown("the file does not tell this dtype")
        shape = self.shapes.get(name)
        return shape if shape is not None else Unknown("a size is open: pass --input"), dtype_name(
            kind.tensor_type.elem_type
        )

    def _shape(self, name: str) -> graph.Shape | None:
        kind = self.types[name]
        if not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
            return None
        sizes = kind.tensor_type.shape.dim
        if not all(size.HasField("dim_value") for size in sizes):
            return None
        return tuple(int(size.dim_value) for size in sizes)
