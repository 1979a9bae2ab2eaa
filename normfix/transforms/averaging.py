"""How an affine map moves past operations whose weights sum to one: pooling, resizing, padding, means."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from normfix.errors import Refused
from normfix.transforms.affine import Affine
from normfix.transforms.nodes import argument, operation, shape, source

POOLS = {f"{kind}_pool{rank}d": rank for kind in ("avg", "adaptive_avg", "max") for rank in (1, 2, 3)}
SCALES = {
    "upsample_nearest1d": 1, "upsample_nearest2d": 2, "upsample_nearest3d": 3, "upsample_linear1d": 1,
    "upsample_bilinear2d": 2, "upsample_trilinear3d": 3, "upsample_bicubic2d": 2,
    "_upsample_nearest_exact1d": 1, "_upsample_nearest_exact2d": 2, "_upsample_nearest_exact3d": 3,
    "_upsample_bilinear2d_aa": 2, "_upsample_bicubic2d_aa": 2,
}  # fmt: skip


def pool(node: fx.Node, affine: Affine) -> Affine:
    """Every window averages (weights that sum to 1), or takes the largest of elements scaled by s > 0."""
    name = operation(node)
    rank = POOLS[name]
    need_constant(node, affine, range(-rank, 0))
    if name.startswith("max"):
        if not bool((affine.scale > 0).all()):
            raise Refused(f"`{node.name}` takes a maximum, and a scale is not positive")
    elif name.startswith("avg"):
        padded = any(whole_numbers(argument(node, "padding")))
        divisor = name != "avg_pool1d" and argument(node, "divisor_override") is not None
        if divisor or (padded and argument(node, "count_include_pad")):
            raise Refused(f"`{node.name}` averages padding or a fixed divisor in")
    return affine


def resize(node: fx.Node, affine: Affine) -> Affine:
    need_constant(node, affine, range(-SCALES[operation(node)], 0))
    return affine


def pad(node: fx.Node, affine: Affine) -> Affine:
    pads = whole_numbers(argument(node, "pad"))
    if argument(node, "mode") == "constant" and any(size > 0 for size in pads):
        raise Refused(f"`{node.name}` pads with a constant, which the norm would change")
    need_constant(node, affine, range(-(len(pads) // 2), 0))
    return affine


def _mean_axes(node: fx.Node) -> list[int]:
    rank = len(shape(source(node)))
    axes = argument(node, "dim") if _has(node, "dim") else None
    return sorted(int(axis) % rank for axis in (whole_numbers(axes) if axes is not None else range(rank)))


def pull_mean(node: fx.Node, affine: Affine) -> Affine:
    axes = _mean_axes(node)
    if _has(node, "keepdim") and argument(node, "keepdim"):
        return affine
    return affine.unsqueeze(axes)


def push_mean(node: fx.Node, affine: Affine) -> Affine:
    axes = _mean_axes(node)
    need_constant(node, affine, axes)
    if _has(node, "keepdim") and argument(node, "keepdim"):
        return affine
    return affine.squeeze(axes)


def need_constant(node: fx.Node, affine: Affine, axes: Sequence[int]) -> None:
    if not affine.constant_along(axes):
        raise Refused(f"`{node.name}` works along the axis that the norm scales")


def _has(node: fx.Node, name: str) -> bool:
    schema = node.target._schema  # type: ignore[union-attr]  # only ATen nodes are asked
    return any(parameter.name == name for parameter in schema.arguments)


def whole_numbers(value: object) -> list[int]:
    return [int(item) for item in value] if isinstance(value, Sequence) else [int(value)]  # type: ignore[call-overload]  # an int
