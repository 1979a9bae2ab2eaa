"""How an affine map moves past sums, and products with a number."""

from __future__ import annotations

import torch
from torch import fx

from normfix.transforms.affine import Affine
from normfix.transforms.base import Refused
from normfix.transforms.flow import Flow
from normfix.transforms.nodes import argument, operation, shape, source
from normfix.transforms.rearranging import Pulled


def pull_sum(flow: Flow, node: fx.Node, affine: Affine) -> Pulled:
    """s (a + k b) + t = (s a + t) + k (s b): the first summand takes the shift. A number c is s c in the shift."""
    first, second = node.args[:2]
    if isinstance(second, (int, float)):
        constant = float(second) * factor(node)
        return [(source(node), Affine(affine.scale, affine.scale * constant + affine.shift - constant))]
    if not isinstance(first, fx.Node) or not isinstance(second, fx.Node):
        raise Refused(f"what {flow.name(node)} adds is not known")
    if shape(first) != shape(second):
        raise Refused(f"{flow.name(node)} adds tensors of different shapes")
    if first is second:
        raise Refused(f"{flow.name(node)} adds a tensor to itself")
    return [(first, affine), (second, Affine(affine.scale, torch.zeros_like(affine.shift)))]


def push_sum(flow: Flow, node: fx.Node, read: fx.Node, affine: Affine) -> Affine:
    """(s x + t) + c = s (x + c) + (t + c - s c) for a number c; a tensor can be added to a shift only."""
    first, second = node.args[:2]
    if isinstance(second, (int, float)):
        constant = float(second) * factor(node)
        return Affine(affine.scale, affine.shift + constant - affine.scale * constant)
    if not bool((affine.scale == 1).all()):
        raise Refused(f"{flow.name(node)} adds another tensor")
    if not isinstance(first, fx.Node) or not isinstance(second, fx.Node) or shape(first) != shape(second):
        raise Refused(f"{flow.name(node)} adds tensors of different shapes")
    share = (1.0 if first is read else 0.0) + (factor(node) if second is read else 0.0)
    return Affine(affine.scale, affine.shift * share)


def factor(node: fx.Node) -> float:
    """The number that a sum multiplies its second summand by."""
    alpha = argument(node, "alpha")
    sign = -1.0 if operation(node) == "sub" else 1.0
    if not isinstance(alpha, (int, float)) or alpha == 0:
        raise Refused(f"`{node.name}` multiplies what it adds by {alpha}")
    return sign * float(alpha)


def pull_scale(node: fx.Node, affine: Affine) -> Affine:
    """s (k x) + t = k (s x + t / k)."""
    return Affine(affine.scale, affine.shift / multiplier(node))


def push_scale(node: fx.Node, affine: Affine) -> Affine:
    """k (s x + t) = s (k x) + k t."""
    return Affine(affine.scale, affine.shift * multiplier(node))


def multiplier(node: fx.Node) -> float:
    """The number that a product or a quotient multiplies by."""
    value = node.args[1]
    if not isinstance(value, (int, float)) or node.kwargs:
        raise Refused(f"`{node.name}` multiplies by a tensor")
    if value == 0:
        raise Refused(f"`{node.name}` multiplies by 0")
    return float(value) if operation(node) == "mul" else 1 / float(value)
