"""What each normalization layer computes: the axes of its statistics, how many there are, and how many elements
stand behind each one.

Letters: N batch, C channels, L sequence length, S product of the spatial sizes, G groups, m elements per statistic.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from normfix.graph import Layer, Shape, Undecided
from normfix.records import dataclass

BATCH = frozenset(
    {"BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d"}
    | {"SyncBatchNorm", "timm.BatchNormAct2d", "timm.SyncBatchNormAct", "batch_norm"}
)
"""Statistics per channel over N and S while training; buffers in eval."""
SYNCHRONISED = frozenset({"SyncBatchNorm", "timm.SyncBatchNormAct"})
"""Batch norms whose statistics run over all processes."""
FROZEN = frozenset({"torchvision.FrozenBatchNorm2d", "timm.FrozenBatchNormAct2d"})
"""A per-channel affine map from buffers, in either mode."""
INSTANCE = frozenset(
    {"InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "instance_norm"}
    | {"LazyInstanceNorm1d", "LazyInstanceNorm2d", "LazyInstanceNorm3d"}
)
GROUP = frozenset(
    {"GroupNorm", "timm.GroupNorm", "timm.GroupNorm1", "timm.GroupNormAct", "timm.GroupNorm1Act", "group_norm"}
)
LAYER = frozenset({"LayerNorm", "timm.LayerNorm", "timm.LayerNormFp32", "timm.LayerNormAct", "layer_norm"})
CHANNEL_LAYER = frozenset({"timm.LayerNorm2d", "timm.LayerNorm2dFp32", "timm.LayerNormAct2d"})
"""LayerNorm over the channel axis of (N, C, H, W)."""
RMS = frozenset({"RMSNorm", "timm.RmsNorm", "rms_norm"})
CHANNEL_RMS = frozenset({"timm.RmsNorm2d"})
LOCAL_RESPONSE = frozenset({"LocalResponseNorm", "CrossMapLRN2d", "local_response_norm"})
SWITCH = frozenset({"SwitchNorm1d", "SwitchNorm2d", "SwitchNorm3d"})
NORMS = BATCH | FROZEN | INSTANCE | GROUP | LAYER | CHANNEL_LAYER | RMS | CHANNEL_RMS | LOCAL_RESPONSE | SWITCH
TRACKING = BATCH | INSTANCE | SWITCH
"""Norms that can hold running statistics."""

UNUSUAL_EPS = 1e-2
"""An eps above it does more than to guard a division."""
HALF_EPS = 2.98e-8
"""Half of the smallest float16: an eps below it rounds to 0 there."""
_RANKS = {"1d": (2, 3), "2d": (4,), "3d": (5,)}


@dataclass(frozen=True, slots=True)
class Statistics:
    """One set of statistics that a norm takes from its input."""

    axes: tuple[int, ...]
    """The axes of the input that one statistic runs over, counted from 0."""
    count: int
    """How many statistics there are."""
    elements: int
    """Elements behind each one (m)."""


def statistics(layer: Layer, shape: Shape, training: bool) -> tuple[Statistics, ...]:
    """The statistics that `layer` takes of an input of `shape` (N, C, *S).

    Empty where it uses stored ones (batch norm in eval). Three sets for Switchable Normalization (instance, layer,
    batch). A group norm's channels are split, so its axis 1 is run over in part. Raises `Undecided` where a
    hyper-parameter that decides is not known, or the shape does not fit the layer.
    """
    kind = layer.kind
    if kind in FROZEN:
        return ()
    if kind in BATCH:
        return (_over_batch(layer, shape),) if uses_input_statistics(layer, training) else ()
    if kind in INSTANCE:
        return (_over_space(layer, shape),) if uses_input_statistics(layer, training) else ()
    if kind in GROUP:
        return (_over_groups(layer, shape),)
    if kind in LAYER or kind in RMS:
        return (_over_last(layer, shape),)
    if kind in CHANNEL_LAYER or kind in CHANNEL_RMS:
        _need(layer, shape, 2)
        return (Statistics((1,), prod(shape) // shape[1], shape[1]),)
    if kind in LOCAL_RESPONSE:
        _need(layer, shape, 3)
        return (Statistics((1,), prod(shape), layer.integer("size")),)
    if kind in SWITCH:
        return _switchable(layer, shape, training)
    raise Undecided(f"`{layer.name}` ({kind}) is not a normalization layer that normfix knows")


def uses_input_statistics(layer: Layer, training: bool) -> bool:
    """Does this layer normalise with statistics of its input, in this mode. Raises `Undecided`.

    BatchNorm does in training and whenever it has no buffers, whatever its attribute `track_running_stats` says by
    then; InstanceNorm when `training or not track_running_stats`; every other norm always, a frozen one never.
    """
    if layer.kind in FROZEN:
        return False
    if layer.kind == "batch_norm":
        return layer.flag("training")
    if layer.kind == "instance_norm":
        return layer.flag("use_input_stats")
    if layer.kind in BATCH and layer.state:
        return training or "running_mean" not in layer.state
    if layer.kind in BATCH or layer.kind in INSTANCE:
        return training or not layer.flag("track_running_stats")
    return True


def cancels_bias(layer: Layer) -> bool:
    """Does this layer, while training, subtract a constant added to each channel. Raises `Undecided`.

    True for BatchNorm and InstanceNorm, and for GroupNorm of one channel a group; false for LayerNorm and RMSNorm,
    whose mean runs over channels, and for frozen norms.
    """
    if layer.kind in BATCH or layer.kind in INSTANCE:
        return uses_input_statistics(layer, training=True)
    if layer.kind in GROUP:
        return layer.kind != "group_norm" and groups(layer) == channels(layer)
    return False


def updates_statistics(layer: Layer) -> bool:
    """Does a forward pass in train mode move this layer's buffers. Raises `Undecided`."""
    if layer.kind == "SwitchNorm1d":
        return True
    if layer.kind in SWITCH:
        return layer.flag("using_bn")
    if layer.kind in ("batch_norm", "instance_norm"):
        return uses_input_statistics(layer, training=True) and _is_given(layer, "running_mean")
    return layer.kind in TRACKING and layer.flag("track_running_stats")


def channels(layer: Layer) -> int:
    """The number of channels that the layer was built for. Raises `Undecided`, also for lazy ones."""
    if layer.kind in ("GroupNorm", "timm.GroupNorm", "timm.GroupNorm1", "timm.GroupNormAct", "timm.GroupNorm1Act"):
        return layer.integer("num_channels")
    if layer.kind in CHANNEL_LAYER:
        return layer.integer("num_channels")
    if layer.kind in CHANNEL_RMS:
        return layer.integer("channels")
    if layer.kind.startswith("Lazy"):
        raise Undecided(f"`{layer.name}` is lazy: its width is set by the first batch")
    return layer.integer("num_features")


def groups(layer: Layer) -> int:
    """Number of groups of a group norm. Raises `Undecided`."""
    if layer.kind in ("timm.GroupNorm1", "timm.GroupNorm1Act"):
        return 1
    if layer.kind == "timm.GroupNormAct" and layer.value("group_size") is not None:
        return channels(layer) // layer.integer("group_size")
    return layer.integer("num_groups")


def normalized_shape(layer: Layer) -> Shape:
    """The trailing dimensions that a layer norm or RMS norm runs over. Raises `Undecided`."""
    names = {"timm.LayerNorm": "num_channels", "timm.LayerNormFp32": "num_channels", "timm.RmsNorm": "channels"}
    name = "normalization_shape" if layer.kind == "timm.LayerNormAct" else names.get(layer.kind, "normalized_shape")
    value = layer.value(name)
    sizes = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    if not all(isinstance(size, int) and not isinstance(size, bool) for size in sizes):
        raise Undecided(f"`{name}` of `{layer.name}` is `{value!r}`, not sizes")
    return tuple(sizes)


def ranks(kind: str) -> tuple[int, ...]:
    """The ranks of batched input that this kind accepts; empty where any rank will do."""
    if kind in BATCH or kind in INSTANCE or kind in SWITCH or kind in FROZEN:
        if kind.startswith("Lazy"):
            return ranks(kind.removeprefix("Lazy"))
        if kind in INSTANCE:
            return {"1d": (2, 3), "2d": (3, 4), "3d": (4, 5)}.get(kind[-2:], ())
        return _RANKS.get(kind[-2:], ())
    return ()


def _is_given(layer: Layer, name: str) -> bool:
    """Is a tensor passed to a functional norm; its values need not be known."""
    argument = layer.argument(name)
    return argument is not None and argument.value is not None


def _need(layer: Layer, shape: Shape, rank: int) -> None:
    if len(shape) < rank:
        raise Undecided(f"`{layer.name}` reads a tensor of shape {shape}, which has fewer than {rank} dimensions")


def _batched(layer: Layer, shape: Shape) -> Shape:
    """InstanceNorm takes unbatched input too: (C, *S) is read as (1, C, *S)."""
    unbatched = {"InstanceNorm1d": 2, "InstanceNorm2d": 3, "InstanceNorm3d": 4}
    return (1, *shape) if len(shape) == unbatched.get(layer.kind.removeprefix("Lazy")) else shape


def _over_batch(layer: Layer, shape: Shape) -> Statistics:
    _need(layer, shape, 2)
    axes = tuple(axis for axis in range(len(shape)) if axis != 1)
    return Statistics(axes, shape[1], prod(shape[axis] for axis in axes))


def _over_space(layer: Layer, shape: Shape) -> Statistics:
    batched = _batched(layer, shape)
    _need(layer, batched, 3)
    offset = len(batched) - len(shape)
    axes = tuple(axis - offset for axis in range(2, len(batched)))
    return Statistics(axes, batched[0] * batched[1], prod(batched[2:]))


def _over_groups(layer: Layer, shape: Shape) -> Statistics:
    _need(layer, shape, 2)
    count = groups(layer)
    if count < 1 or shape[1] % count:
        raise Undecided(f"`{layer.name}` has {count} groups, which do not divide {shape[1]} channels")
    return Statistics(tuple(range(1, len(shape))), shape[0] * count, shape[1] // count * prod(shape[2:]))


def _over_last(layer: Layer, shape: Shape) -> Statistics:
    trailing = normalized_shape(layer)
    if shape[len(shape) - len(trailing) :] != trailing:
        raise Undecided(f"`{layer.name}` normalises {trailing}, which are not the last sizes of {shape}")
    axes = tuple(range(len(shape) - len(trailing), len(shape)))
    return Statistics(axes, prod(shape[: axes[0]]) if axes else prod(shape), prod(trailing))


def _switchable(layer: Layer, shape: Shape, training: bool) -> tuple[Statistics, ...]:
    """Instance, layer and batch statistics, mixed with learned weights; SwitchNorm1d has no instance part."""
    _need(layer, shape, 2)
    space = tuple(range(2, len(shape)))
    parts = [Statistics((1, *space), shape[0], prod(shape[1:]))]
    if space:
        parts.insert(0, Statistics(space, shape[0] * shape[1], prod(shape[2:])))
    uses_batch = layer.kind == "SwitchNorm1d" or layer.flag("using_bn")
    if uses_batch and (training or not layer.flag("using_moving_average")):
        parts.append(_over_batch(layer, shape))
    return tuple(parts)
