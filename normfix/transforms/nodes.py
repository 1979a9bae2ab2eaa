"""What can be asked of one node of a captured graph."""

from __future__ import annotations

import torch
from torch import fx

from normfix import vocabulary
from normfix.errors import Refused

_ALIASES = {"true_divide": "div", "divide": "div", "multiply": "mul", "subtract": "sub", "negative": "neg"}

_CHOICES = frozenset("topk sort argsort argmax argmin kthvalue median mode nonzero searchsorted bucketize".split())


def choices(graph: fx.Graph) -> list[str]:
    """A sentence where a model chooses by the size of numbers: which of two that are nearly equal it takes, rounding
    settles, and no proof can tell that from a mistake."""
    found = dict.fromkeys(operation(node) for node in graph.nodes if operation(node) in _CHOICES)
    names = " and ".join(f"`{name}`" for name in found)
    return (
        [f"the model chooses by {names}, and rounding settles which of nearly equal numbers it takes"] if found else []
    )


def operation(node: fx.Node) -> str:
    """One word for what a node does: "conv2d", "add", "relu", whatever overload or in-place form it has."""
    if node.op != "call_function":
        return node.op
    schema = getattr(node.target, "_schema", None)
    name = schema.name.split("::")[-1] if schema is not None else getattr(node.target, "__name__", str(node.target))
    plain = vocabulary.canonical(str(name))
    return _ALIASES.get(plain, plain)


def argument(node: fx.Node, name: str) -> object:
    """An argument of a node by its name in the operation's schema, its default included."""
    schema = node.target._schema  # type: ignore[union-attr]  # only ATen nodes are asked
    for position, parameter in enumerate(schema.arguments):
        if parameter.name == name:
            if name in node.kwargs:
                return node.kwargs[name]
            return node.args[position] if position < len(node.args) else parameter.default_value
    raise KeyError(name)


def shape(node: fx.Node) -> tuple[int, ...]:
    """The sizes of a node's result. Raises `Refused` where they are not all known numbers."""
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor) or not all(isinstance(size, int) for size in value.shape):
        raise Refused(f"the shape of `{node.name}` is not known")
    return tuple(value.shape)


def source(node: fx.Node, index: int = 0) -> fx.Node:
    """The node that is read at `index`. Raises `Refused` where that is no node."""
    value = node.args[index] if index < len(node.args) else None
    if not isinstance(value, fx.Node):
        raise Refused(f"what `{node.name}` reads is not a tensor of the graph")
    return value


def casts_nothing(node: fx.Node) -> bool:
    """Is this a cast to the dtype and device that its source has already: torch hands on the source itself."""
    if operation(node) != "to":
        return False
    value, before = node.meta.get("val"), source(node).meta.get("val")
    if not isinstance(value, torch.Tensor) or not isinstance(before, torch.Tensor):
        return False
    return (value.dtype, value.device) == (before.dtype, before.device)
