"""What the forward of a norm's class does to its own result, with no module for it: `F.relu(super().forward(x))`."""

from __future__ import annotations

import torch
from torch import fx, nn

from normfix.errors import Refused
from normfix.transforms.flow import Flow
from normfix.transforms.nodes import argument, operation
from normfix.transforms.sites import Norm

_AS_IT_IS = frozenset({"dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"})


def after(flow: Flow, norm: Norm) -> fx.GraphModule:
    """A module that does to its input what the norm's forward does to the normalised tensor.

    Only operations that look at one element at a time are kept: they hold for any size. Raises `Refused`."""
    graph = fx.Graph()
    known = {norm.node: graph.placeholder("input")}
    last = norm.node
    for node in _behind(flow, norm):
        if operation(node) in _AS_IT_IS and not argument(node, "train"):
            known[node] = known[last]
        else:
            _keepable(flow, norm, node, known)
            known[node] = graph.node_copy(node, known.__getitem__)
            known[node].meta = {}
        last = node
    if any(user not in known for node in list(known)[:-1] for user in flow.readers(node)):
        raise Refused(f"`{norm.path}` hands on several results")
    graph.output(known[last])
    return fx.GraphModule(nn.Module(), graph, "Besides")


def does_more(flow: Flow, norm: Norm) -> bool:
    """Does the norm's forward itself change single elements of the normalised tensor."""
    own = [node for node in _behind(flow, norm) if flow.home(node) == norm.path]
    return any(torch.Tag.pointwise in getattr(node.target, "tags", ()) for node in own)


def _behind(flow: Flow, norm: Norm) -> list[fx.Node]:
    """The nodes of the norm's first call that come after the norm itself."""
    keys = {step.key for step in flow.steps(norm.node) if step.path == norm.path}
    inside = [node for node in flow.nodes if any(step.key in keys for step in flow.steps(node))]
    return inside[inside.index(norm.node) + 1 :]


def _keepable(flow: Flow, norm: Norm, node: fx.Node, known: dict[fx.Node, fx.Node]) -> None:
    tags = getattr(node.target, "tags", ())
    if torch.Tag.pointwise not in tags:
        raise Refused(f"`{norm.path}` is a {_kind(flow, norm)}, whose forward also does `{operation(node)}`")
    if not all(part in known for part in node.all_input_nodes):
        raise Refused(f"`{norm.path}` is a {_kind(flow, norm)}, whose `{operation(node)}` reads more than the norm")


def _kind(flow: Flow, norm: Norm) -> str:
    return type(flow.model.get_submodule(norm.path)).__name__
