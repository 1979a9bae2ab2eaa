"""Operations that an affine map can move through, backward (pull) and forward (push).

    pull: op(A x) = B op(x)   given B, find A        push: given A, find B

Each one says why not, in a sentence, where it cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import fx

from normfix.transforms.affine import Affine, concatenate
from normfix.transforms.base import Refused
from normfix.transforms.flow import Flow, argument, operation, shape, source

Pulled = list[tuple[fx.Node, Affine]]
Push = Callable[[fx.Node, Affine], Affine]

_HANDS_ON = frozenset("alias detach contiguous clone lift_fresh lift_fresh_copy".split())
_DROPOUTS = frozenset("dropout alpha_dropout feature_dropout feature_alpha_dropout native_dropout".split())
_RESHAPES = frozenset("view reshape reshape_as view_as flatten unflatten squeeze unsqueeze _unsafe_view".split())
_POOLS = {f"{kind}_pool{rank}d": rank for kind in ("avg", "adaptive_avg", "max") for rank in (1, 2, 3)}
_SCALES = {
    "upsample_nearest1d": 1, "upsample_nearest2d": 2, "upsample_nearest3d": 3, "upsample_linear1d": 1,
    "upsample_bilinear2d": 2, "upsample_trilinear3d": 3, "upsample_bicubic2d": 2,
}  # fmt: skip


def pull(flow: Flow, node: fx.Node, affine: Affine) -> Pulled:
    """The maps to apply to what `node` reads, so that its result is mapped by `affine`."""
    name = operation(node)
    if node in flow.removed:
        return [(flow.removed[node], affine)]
    if name in _HANDS_ON:
        return [(source(node), affine)]
    if name == "cat":
        return _pull_cat(node, affine)
    if name in ("add", "sub"):
        return _pull_sum(flow, node, affine)
    back = _BACKWARD.get(name)
    if back is None:
        raise Refused(f"{flow.name(node)} stands between")
    return [(source(node), back(node, affine))]


def push(flow: Flow, node: fx.Node, read: fx.Node, affine: Affine) -> Affine:
    """The map on the result of `node`, once what it reads from `read` is mapped by `affine`."""
    name = operation(node)
    if node in flow.removed or name in _HANDS_ON:
        return affine
    if name == "cat":
        return _push_cat(node, read, affine)
    if name in ("add", "sub"):
        return _push_sum(flow, node, read, affine)
    forward = _FORWARD.get(name)
    if forward is None:
        raise Refused(f"{flow.name(node)} stands between")
    return forward(node, affine)


def _dropout(node: fx.Node, affine: Affine) -> Affine:
    if argument(node, "train"):
        raise Refused(f"`{node.name}` drops at random: the model is not in eval mode")
    return affine


def _same_dtype(node: fx.Node, affine: Affine) -> Affine:
    value, before = node.meta.get("val"), source(node).meta.get("val")
    if not isinstance(value, torch.Tensor) or not isinstance(before, torch.Tensor):
        raise Refused(f"the dtype of `{node.name}` is not known")
    if value.dtype != before.dtype or value.device != before.device:
        raise Refused(f"`{node.name}` casts from {before.dtype} to {value.dtype}")
    return affine


def _order(node: fx.Node) -> list[int]:
    rank = len(shape(source(node)))
    name = operation(node)
    axes = list(range(rank))
    if name == "permute":
        return [int(axis) % rank for axis in argument(node, "dims")]  # type: ignore[attr-defined]  # a list of axes
    if name == "t":
        return axes[::-1]
    first, second = (int(argument(node, name)) % rank for name in ("dim0", "dim1"))  # type: ignore[call-overload]  # ints
    axes[first], axes[second] = axes[second], axes[first]
    return axes


def _pull_permute(node: fx.Node, affine: Affine) -> Affine:
    order = _order(node)
    return affine.permute([order.index(axis) for axis in range(len(order))])


def _push_permute(node: fx.Node, affine: Affine) -> Affine:
    return affine.permute(_order(node))


def _pull_reshape(node: fx.Node, affine: Affine) -> Affine:
    return affine.reshape(shape(node), shape(source(node)))


def _push_reshape(node: fx.Node, affine: Affine) -> Affine:
    return affine.reshape(shape(source(node)), shape(node))


def _pool(node: fx.Node, affine: Affine) -> Affine:
    """Every window averages (weights that sum to 1), or takes the largest of elements scaled by s > 0."""
    name = operation(node)
    rank = _POOLS[name]
    _need_constant(node, affine, range(-rank, 0))
    if name.startswith("max"):
        if not bool((affine.scale > 0).all()):
            raise Refused(f"`{node.name}` takes a maximum, and a scale is not positive")
    elif name.startswith("avg"):
        padded = any(_list(argument(node, "padding")))
        divisor = name != "avg_pool1d" and argument(node, "divisor_override") is not None
        if divisor or (padded and argument(node, "count_include_pad")):
            raise Refused(f"`{node.name}` averages padding or a fixed divisor in")
    return affine


def _resize(node: fx.Node, affine: Affine) -> Affine:
    _need_constant(node, affine, range(-_SCALES[operation(node)], 0))
    return affine


def _pad(node: fx.Node, affine: Affine) -> Affine:
    pads = _list(argument(node, "pad"))
    if argument(node, "mode") == "constant":
        raise Refused(f"`{node.name}` pads with a constant")
    _need_constant(node, affine, range(-(len(pads) // 2), 0))
    return affine


def _mean_axes(node: fx.Node) -> list[int]:
    rank = len(shape(source(node)))
    axes = argument(node, "dim") if _has(node, "dim") else None
    return sorted(int(axis) % rank for axis in (_list(axes) if axes is not None else range(rank)))


def _pull_mean(node: fx.Node, affine: Affine) -> Affine:
    axes = _mean_axes(node)
    if _has(node, "keepdim") and argument(node, "keepdim"):
        return affine
    scale, shift = affine.scale, affine.shift
    for axis in axes:
        scale, shift = scale.unsqueeze(axis), shift.unsqueeze(axis)
    return Affine(scale, shift)


def _push_mean(node: fx.Node, affine: Affine) -> Affine:
    axes = _mean_axes(node)
    _need_constant(node, affine, axes)
    if _has(node, "keepdim") and argument(node, "keepdim"):
        return affine
    return Affine(affine.scale.squeeze(axes), affine.shift.squeeze(axes))


def _pull_slice(node: fx.Node, affine: Affine) -> Affine:
    _need_constant(node, affine, [int(argument(node, "dim"))])  # type: ignore[call-overload]  # an int
    return affine


def _push_slice(node: fx.Node, affine: Affine) -> Affine:
    axis = int(argument(node, "dim"))  # type: ignore[call-overload]  # an int
    if affine.constant_along([axis]):
        return affine
    size = shape(source(node))[axis]
    start, end, step = (argument(node, name) for name in ("start", "end", "step"))
    chosen = torch.arange(size)[slice(start, end, step)]
    return Affine(_choose(affine.scale, axis, chosen), _choose(affine.shift, axis, chosen))


def _choose(part: torch.Tensor, axis: int, chosen: torch.Tensor) -> torch.Tensor:
    return part if part.shape[axis] == 1 else part.index_select(axis, chosen)


def _pull_cat(node: fx.Node, affine: Affine) -> Pulled:
    axis = _cat_axis(node)
    parts: Pulled = []
    start = 0
    for part in _parts(node):
        size = shape(part)[axis]
        parts.append((part, affine.narrow(axis, start, size)))
        start += size
    return parts


def _push_cat(node: fx.Node, read: fx.Node, affine: Affine) -> Affine:
    axis = _cat_axis(node)
    rank = len(shape(node))
    parts = _parts(node)
    return concatenate(
        [affine if part is read else Affine.identity(rank) for part in parts],
        axis,
        [shape(part)[axis] for part in parts],
    )


def _cat_axis(node: fx.Node) -> int:
    axis = argument(node, "dim")
    if not isinstance(axis, int):
        raise Refused(f"the axis of `{node.name}` is not known")
    return axis % len(shape(node))


def _parts(node: fx.Node) -> list[fx.Node]:
    parts = node.args[0]
    if not isinstance(parts, Sequence) or not all(isinstance(part, fx.Node) for part in parts):
        raise Refused(f"what `{node.name}` concatenates is not known")
    return [part for part in parts if isinstance(part, fx.Node)]


def _pull_sum(flow: Flow, node: fx.Node, affine: Affine) -> Pulled:
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


def _push_sum(flow: Flow, node: fx.Node, read: fx.Node, affine: Affine) -> Affine:
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
    if not isinstance(alpha, (int, float)):
        raise Refused(f"the factor of `{node.name}` is not a number")
    return sign * float(alpha)


def _pull_scale(node: fx.Node, affine: Affine) -> Affine:
    """s (k x) + t = k (s x + t / k)."""
    return Affine(affine.scale, affine.shift / _number(node))


def _push_scale(node: fx.Node, affine: Affine) -> Affine:
    """k (s x + t) = s (k x) + k t."""
    return Affine(affine.scale, affine.shift * _number(node))


def _number(node: fx.Node) -> float:
    value = node.args[1]
    if not isinstance(value, (int, float)) or value == 0 or node.kwargs:
        raise Refused(f"`{node.name}` multiplies by a tensor")
    return float(value) if operation(node) == "mul" else 1 / float(value)


def _need_constant(node: fx.Node, affine: Affine, axes: Sequence[int]) -> None:
    if not affine.constant_along(axes):
        raise Refused(f"`{node.name}` works along the axis that the norm scales")


def _has(node: fx.Node, name: str) -> bool:
    schema = node.target._schema  # type: ignore[union-attr]  # only ATen nodes are asked
    return any(parameter.name == name for parameter in schema.arguments)


def _list(value: object) -> list[int]:
    return [int(item) for item in value] if isinstance(value, Sequence) else [int(value)]  # type: ignore[call-overload]  # an int


_SAME: dict[str, Push] = {
    **dict.fromkeys(_DROPOUTS, _dropout),
    **dict.fromkeys(("to", "_to_copy", "type_as"), _same_dtype),
    **dict.fromkeys(_POOLS, _pool),
    **dict.fromkeys(_SCALES, _resize),
    "pad": _pad,
}
_BACKWARD: dict[str, Push] = {
    **_SAME,
    **dict.fromkeys(_RESHAPES, _pull_reshape),
    **dict.fromkeys(("permute", "transpose", "t"), _pull_permute),
    **dict.fromkeys(("mul", "div"), _pull_scale),
    "mean": _pull_mean,
    "slice": _pull_slice,
}
_FORWARD: dict[str, Push] = {
    **_SAME,
    **dict.fromkeys(_RESHAPES, _push_reshape),
    **dict.fromkeys(("permute", "transpose", "t"), _push_permute),
    **dict.fromkeys(("mul", "div"), _push_scale),
    "mean": _push_mean,
    "slice": _push_slice,
}
