"""Operations of a traced graph as layers: ATen names become kinds, schemas become arguments."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import fx

from normfix import graph, vocabulary

_KINDS = {
    "_unsafe_view": "view",
    "_softmax": "softmax",
    "_log_softmax": "log_softmax",
    "native_dropout": "dropout",
    "pad": "pad",
    "constant_pad_nd": "pad",
    "reflection_pad1d": "pad",
    "reflection_pad2d": "pad",
    "replication_pad2d": "pad",
    "feature_dropout": "dropout2d",
}
_NAMES = {"self": "input", "train": "training"}
_A_TENSOR = graph.Unknown("a tensor")


def kind_of_operator(target: object) -> str:
    """The kind of an ATen operator: `aten.relu_.default` is "relu"."""
    name = getattr(target, "_opname", "") or getattr(target, "__name__", str(target))
    if name.startswith("upsample_"):
        return "interpolate"
    return _KINDS.get(name) or vocabulary.canonical(name)


def operator_layer(node: fx.Node, path: str, training: bool | graph.Unknown) -> graph.Layer:
    """The layer that stands for one operation inside the module at `path`."""
    kind = kind_of_operator(node.target)
    return graph.Layer(
        kind=kind,
        name=f"{path}.{node.name}" if path else node.name,
        site=graph.Site(module=path),
        arguments=arguments_of_operator(node),
        training=training,
    )


def arguments_of_operator(node: fx.Node) -> Mapping[str, graph.Argument]:
    """Every argument by its name in the schema, defaults included."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return {str(index): graph.Argument(plain(value)) for index, value in enumerate(node.args)}
    found: dict[str, graph.Argument] = {}
    for index, parameter in enumerate(schema.arguments):
        passed = index < len(node.args)
        value = node.args[index] if passed else node.kwargs.get(parameter.name, parameter.default_value)
        found[_NAMES.get(parameter.name, parameter.name)] = graph.Argument(plain(value))
    return found


def plain(value: object) -> object:
    """A value without torch in it; nodes, tensors and symbolic numbers become `Unknown`."""
    if isinstance(value, (list, tuple)):
        items = [plain(item) for item in value]
        unknown = next((item for item in items if isinstance(item, graph.Unknown)), None)
        return unknown or tuple(items)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, fx.Node):
        return _A_TENSOR
    if isinstance(value, (torch.dtype, torch.device, torch.memory_format, torch.layout)):
        return str(value).removeprefix("torch.")
    return graph.Unknown(f"a {type(value).__name__}")


def writes_to(node: fx.Node) -> list[fx.Node]:
    """The nodes whose tensors this operation changes in place."""
    schema = getattr(node.target, "_schema", None)
    if schema is None or not schema.is_mutable:
        return []
    found: list[fx.Node] = []
    for index, parameter in enumerate(schema.arguments):
        if parameter.alias_info is not None and parameter.alias_info.is_write:
            value = node.args[index] if index < len(node.args) else node.kwargs.get(parameter.name)
            items = value if isinstance(value, (list, tuple)) else (value,)
            found += [item for item in items if isinstance(item, fx.Node)]
    return found


def view_of(node: fx.Node) -> fx.Node | None:
    """The node whose memory this operation's result looks into; None where the result has memory of its own."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        first = node.args[0] if node.args and getattr(node.target, "__name__", "") == "getitem" else None
        return first if isinstance(first, fx.Node) else None
    if not any(result.alias_info is not None for result in schema.returns):
        return None
    return next((value for value in node.args if isinstance(value, fx.Node)), None)
