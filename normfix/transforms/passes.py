"""Operations that an affine map can move through, backward (pull) and forward (push).

    pull: op(A x) = B op(x)   given B, find A        push: given A, find B

Each one says why not, in a sentence, where it cannot.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import fx

from normfix.errors import Refused
from normfix.transforms.affine import Affine
from normfix.transforms.arithmetic import FIXED, pull_fixed, push_fixed
from normfix.transforms.averaging import POOLS, SCALES, pad, pool, pull_mean, push_mean, resize
from normfix.transforms.flow import Flow
from normfix.transforms.nodes import argument, operation, source
from normfix.transforms.picking import pull_picked, push_picked
from normfix.transforms.places import PICKS, SPLITS
from normfix.transforms.rearranging import (
    JOINS,
    PIXELS,
    TURNS,
    Pulled,
    pull_joined,
    pull_permute,
    pull_pixels,
    pull_reshape,
    push_joined,
    push_permute,
    push_pixels,
    push_reshape,
)

Push = Callable[[fx.Node, Affine], Affine]

_HANDS_ON = frozenset("alias detach contiguous clone lift_fresh lift_fresh_copy positive".split())
_DROPOUTS = frozenset("dropout alpha_dropout feature_dropout feature_alpha_dropout native_dropout".split())
_RESHAPES = frozenset("view reshape reshape_as view_as flatten unflatten squeeze unsqueeze ravel _unsafe_view".split())


def pull(flow: Flow, node: fx.Node, affine: Affine) -> Pulled:
    """The maps to apply to what `node` reads, so that its result is mapped by `affine`."""
    name = operation(node)
    if node in flow.removed:
        return [(flow.removed[node], affine)]
    if name in _HANDS_ON:
        return [(source(node), affine)]
    if name in JOINS:
        return pull_joined(node, affine)
    if name in FIXED:
        return pull_fixed(flow, node, affine)
    if name in PICKS:
        return pull_picked(flow, node, affine)
    back = _BACKWARD.get(name)
    if back is None:
        raise Refused(f"{flow.name(node)} stands between")
    return [(source(node), back(node, affine))]


def push(flow: Flow, node: fx.Node, read: fx.Node, affine: Affine) -> Affine:
    """The map on the result of `node`, once what it reads from `read` is mapped by `affine`."""
    name = operation(node)
    if node in flow.removed or name in _HANDS_ON or name in SPLITS:
        return affine
    if name in JOINS:
        return push_joined(node, read, affine)
    if name in FIXED:
        return push_fixed(flow, node, read, affine)
    if name in PICKS:
        return push_picked(flow, node, read, affine)
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


_SAME: dict[str, Push] = {
    **dict.fromkeys(_DROPOUTS, _dropout),
    **dict.fromkeys(("to", "_to_copy", "type_as"), _same_dtype),
    **dict.fromkeys(POOLS, pool),
    **dict.fromkeys(SCALES, resize),
    "pad": pad,
}
_BACKWARD: dict[str, Push] = {
    **_SAME,
    **dict.fromkeys(_RESHAPES, pull_reshape),
    **dict.fromkeys(TURNS, pull_permute),
    **dict.fromkeys(PIXELS, pull_pixels),
    "mean": pull_mean,
}
_FORWARD: dict[str, Push] = {
    **_SAME,
    **dict.fromkeys(_RESHAPES, push_reshape),
    **dict.fromkeys(TURNS, push_permute),
    **dict.fromkeys(PIXELS, push_pixels),
    "mean": push_mean,
}
