"""How an affine map moves past sums, and past products and sums with constants: numbers, and tensors that are stored or
written out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, fx

from normfix.errors import Refused
from normfix.transforms.affine import Affine
from normfix.transforms.constants import constant, is_constant
from normfix.transforms.flow import Flow
from normfix.transforms.nodes import argument, operation, shape, source
from normfix.transforms.rearranging import Pulled

ADDS = frozenset({"add", "sub", "rsub"})
FIXED = ADDS | {"mul", "div", "neg"}


@dataclass(frozen=True, slots=True)
class _Fixed:
    """x -> k x + c on the tensor of one node."""

    read: fx.Node
    k: Tensor
    c: Tensor


def pull_fixed(flow: Flow, node: fx.Node, affine: Affine) -> Pulled:
    """s (k x + c) + t = k (s x + (s c + t - c) / k) + c."""
    fixed = _fixed(flow, node)
    if fixed is None:
        return _pull_sum(flow, node, affine)
    k, c = fixed.k, fixed.c
    if bool((k == 0).any()):
        raise Refused(f"{flow.name(node)} multiplies by zero")
    return [(fixed.read, Affine(affine.scale, (affine.scale * c + affine.shift - c) / k))]


def push_fixed(flow: Flow, node: fx.Node, read: fx.Node, affine: Affine) -> Affine:
    """k (s x + t) + c = s (k x + c) + (k t + c - s c)."""
    fixed = _fixed(flow, node)
    if fixed is None:
        return _push_sum(flow, node, read, affine)
    return Affine(affine.scale, fixed.k * affine.shift + (fixed.c - affine.scale * fixed.c))


def _pull_sum(flow: Flow, node: fx.Node, affine: Affine) -> Pulled:
    """s (a + k b) + t = (s a + t) + k (s b): one summand takes the shift, the second one as t / k."""
    first, second = _summands(flow, node)
    k = factor(node)
    if first is second:
        if k == -1:
            raise Refused(f"{flow.name(node)} takes a tensor from itself")
        return [(first, Affine(affine.scale, affine.shift / (1 + k)))]
    bare = Affine(affine.scale, torch.zeros_like(affine.shift))
    if shape(first) == shape(node):
        return [(first, affine), (second, _before(flow, node, second, bare))]
    shifted = Affine(affine.scale, affine.shift / k)
    return [(first, _before(flow, node, first, bare)), (second, _before(flow, node, second, shifted))]


def _push_sum(flow: Flow, node: fx.Node, read: fx.Node, affine: Affine) -> Affine:
    """(x + t) + a = (x + a) + t: a tensor can be added to a shift only."""
    first, second = _summands(flow, node)
    if not bool((affine.scale == 1).all()):
        raise Refused(f"{flow.name(node)} adds another tensor")
    share = (1.0 if first is read else 0.0) + (factor(node) if second is read else 0.0)
    added = (1,) * (len(shape(node)) - len(shape(read)))
    scale, shift = (part.reshape(*added, *part.shape) for part in (affine.scale, affine.shift))
    return Affine(scale, shift * share)


def _summands(flow: Flow, node: fx.Node) -> tuple[fx.Node, fx.Node]:
    if operation(node) not in ADDS:
        raise Refused(f"{flow.name(node)} multiplies or divides by a tensor that depends on the inputs")
    first, second = node.args[:2]
    if not isinstance(first, fx.Node) or not isinstance(second, fx.Node):
        raise Refused(f"what {flow.name(node)} adds is not known")
    return (second, first) if operation(node) == "rsub" else (first, second)


def _before(flow: Flow, node: fx.Node, part: fx.Node, affine: Affine) -> Affine:
    """The same map on a summand that is repeated along some axes of the sum."""
    sizes, own = shape(node), shape(part)
    added = len(sizes) - len(own)
    repeated = [axis for axis in range(len(sizes)) if axis < added or own[axis - added] != sizes[axis]]
    if not affine.constant_along(repeated):
        raise Refused(f"{flow.name(node)} adds one number to several channels, which the norm scales differently")
    return Affine(*(part.reshape(part.shape[added:]) for part in (affine.scale, affine.shift)))


def factor(node: fx.Node) -> float:
    """The number that a sum multiplies its second summand by."""
    alpha = argument(node, "alpha")
    sign = 1.0 if operation(node) == "add" else -1.0
    if not isinstance(alpha, (int, float)) or alpha == 0:
        raise Refused(f"`{node.name}` multiplies what it adds by {alpha}")
    return sign * float(alpha)


def multiplier(node: fx.Node) -> float:
    """The number that a product or a quotient multiplies by."""
    value = node.args[1]
    if not isinstance(value, (int, float)) or node.kwargs:
        raise Refused(f"`{node.name}` multiplies by a tensor")
    if value == 0:
        raise Refused(f"`{node.name}` multiplies by 0")
    return float(value) if operation(node) == "mul" else 1 / float(value)


def _fixed(flow: Flow, node: fx.Node) -> _Fixed | None:
    """What the operation does to the one tensor that it reads; None where it reads several."""
    name = operation(node)
    if name == "neg":
        return _Fixed(source(node), *_parts(node, source(node), -1.0, 0.0))
    first, second = node.args[:2]
    if is_constant(flow, second) and isinstance(first, fx.Node):
        read, value = first, constant(flow, second)
    elif is_constant(flow, first) and isinstance(second, fx.Node):
        read, value = second, constant(flow, first)
    else:
        return None
    if name in ADDS:
        own, other = (factor(node), 1.0) if (read is second) != (name == "rsub") else (1.0, factor(node))
        return _Fixed(read, *_parts(node, read, own, other * value))
    if name == "mul":
        return _Fixed(read, *_parts(node, read, value, 0.0))
    if read is second or node.kwargs.get("rounding_mode"):
        raise Refused(f"{flow.name(node)} divides by what it reads, or rounds")
    return _Fixed(read, *_parts(node, read, 1 / value, 0.0))


def _parts(node: fx.Node, read: fx.Node, *values: Tensor | float) -> list[Tensor]:
    """The values as tensors that broadcast to what is read. Raises `Refused` where the operation changes its form."""
    before, after = read.meta.get("val"), node.meta.get("val")
    if shape(read) != shape(node) or before is None or after is None or before.dtype != after.dtype:
        raise Refused(f"`{node.name}` changes the shape or the dtype of what it reads")
    rank = len(shape(node))
    tensors = [torch.as_tensor(value, dtype=torch.float64) for value in values]
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        raise Refused(f"`{node.name}` works with a constant that is not finite, or divides by zero")
    return [tensor.reshape([1] * (rank - tensor.dim()) + list(tensor.shape)) for tensor in tensors]
