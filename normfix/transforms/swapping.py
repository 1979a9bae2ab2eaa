"""What each norm becomes in a swap: one maker for each target, and what it has to carry over.

to              from                                      equivalence
sync_batch      BatchNorm1d/2d/3d                         eval only (and training, on one process)
batch           SyncBatchNorm, FrozenBatchNorm2d          eval only
batch           GroupNorm                                 interface only: statistics come from calibration
frozen_batch    BatchNorm2d, SyncBatchNorm                eval only
group           batch norms, frozen or not                interface only
instance        batch norms, frozen or not                interface only
layer           batch norms, frozen or not                interface only
"""

from __future__ import annotations

from math import prod

import torch
from torch import nn

from normfix.errors import Refused
from normfix.rewrites import Equivalence
from normfix.transforms.grouping import Groups, group_count

Shape = tuple[int, ...]
TARGETS = ("group", "batch", "sync_batch", "instance", "layer", "frozen_batch")
_OF_INPUT = ("group", "instance", "layer")
"""Norms that use the statistics of what they read in eval, too."""
_BATCH = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_SOURCES = {
    "group": ("batch", "sync_batch", "frozen_batch"),
    "batch": ("sync_batch", "frozen_batch", "group"),
    "sync_batch": ("batch", "frozen_batch"),
    "instance": ("batch", "sync_batch", "frozen_batch"),
    "layer": ("batch", "sync_batch", "frozen_batch"),
    "frozen_batch": ("batch", "sync_batch"),
}
_RANKS = {"BatchNorm2d": 4, "BatchNorm3d": 5, "FrozenBatchNorm2d": 4}
_TENSORS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def kind_of(module: nn.Module) -> str | None:
    """ "batch", "sync_batch", "group", "frozen_batch"; "unknown" for a subclass that nobody here knows; None for
    anything else."""
    cls = type(module)
    home = cls.__module__.partition(".")[0]
    if cls in _BATCH or (home == "timm" and cls.__name__ == "BatchNormAct2d"):
        return "batch"
    if cls is nn.SyncBatchNorm:
        return "sync_batch"
    if cls is nn.GroupNorm or (home == "timm" and cls.__name__ == "GroupNormAct"):
        return "group"
    if cls.__name__ == "FrozenBatchNorm2d" and home in ("torchvision", "detectron2", "mmcv"):
        return "frozen_batch"
    frozen = "FrozenBatchNorm" in cls.__name__
    return "unknown" if frozen or isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.GroupNorm)) else None


def is_source(kind: str, target: str) -> bool:
    """Would a norm of this kind be swapped for the target."""
    return kind in _SOURCES[target] or kind == "unknown"


def equivalence(kind: str, target: str) -> Equivalence:
    """How far one swap keeps what the model computes."""
    batch = ("batch", "sync_batch", "frozen_batch")
    return Equivalence.EVAL if kind in batch and target in batch else Equivalence.INTERFACE


def make(old: nn.Module, path: str, target: str, shape: Shape | None, groups: Groups) -> tuple[nn.Module, str]:
    """The new norm with everything that the old one holds, and what to say. Raises `Refused`."""
    kind = kind_of(old)
    if kind == "unknown" or kind is None:
        raise Refused(f"`{path}` is a {type(old).__name__}, a subclass that normfix does not know")
    foreign = [name for name in (*old._parameters, *old._buffers) if name not in _TENSORS]
    if foreign:
        raise Refused(f"`{path}` holds `{foreign[0]}`, which has no place in another norm")
    if shape == () and target not in ("group", "sync_batch"):
        raise Refused(f"`{path}` reads tensors of several ranks, and no other norm takes them all")
    if target in _OF_INPUT and not _eps(old):
        raise Refused(f"`{path}` has an eps of 0, and another norm would divide equal values by zero")
    channels = _channels(old)
    new, what = _MAKERS[target](old, path, channels, shape, groups)
    _carry_over(old, new)
    return new, what


def _channels(old: nn.Module) -> int:
    for name in ("num_features", "num_channels"):
        if isinstance(getattr(old, name, None), int):
            return int(getattr(old, name))
    weight = old.weight
    assert isinstance(weight, torch.Tensor)  # a frozen batch norm always holds one
    return int(weight.shape[0])


def _elements(shape: Shape | None) -> int | None:
    if not shape:
        return None
    count = 1
    for size in shape[2:]:
        count *= size
    return count


def _group(old: nn.Module, path: str, channels: int, shape: Shape | None, groups: Groups) -> tuple[nn.Module, str]:
    count = group_count(path, channels, _elements(shape), groups)
    made = f"GroupNorm({count}, {channels})"
    if _is_act(old):
        from timm.layers.norm_act import GroupNormAct

        act: nn.Module = GroupNormAct(channels, num_groups=count, eps=_eps(old))
        return act, f"became {made}, drop and activation kept"
    return nn.GroupNorm(count, channels, eps=_eps(old), affine=_affine(old)), f"became {made}"


def _batch(old: nn.Module, path: str, channels: int, shape: Shape | None, groups: Groups) -> tuple[nn.Module, str]:
    frozen = kind_of(old) == "frozen_batch"
    rank = 4 if frozen else len(shape) if shape is not None else None
    cls = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}.get(rank or 0)
    if cls is None:
        raise Refused(f"`{path}` could become BatchNorm1d, 2d or 3d: the rank of its input is not known")
    if _is_act(old):
        return _batch_act(old, path, channels, rank)
    tracked = bool(getattr(old, "track_running_stats", True))
    momentum = getattr(old, "momentum", 0.1)
    new = cls(channels, eps=_eps(old), momentum=momentum, affine=_affine(old), track_running_stats=tracked)
    group = ", its process group is gone" if getattr(old, "process_group", None) is not None else ""
    return new, f"became {cls.__name__}({channels}){group}"


def _batch_act(old: nn.Module, path: str, channels: int, rank: int | None) -> tuple[nn.Module, str]:
    if rank != 4:
        raise Refused(f"`{path}` does not read images: timm's batch norm with an activation is one of images only")
    from timm.layers.norm_act import BatchNormAct2d

    new: nn.Module = BatchNormAct2d(channels, eps=_eps(old), affine=_affine(old))
    return new, f"became BatchNormAct2d({channels}), drop and activation kept"


def _sync(old: nn.Module, path: str, channels: int, shape: Shape | None, groups: Groups) -> tuple[nn.Module, str]:
    if _is_act(old):
        raise Refused(f"`{path}` is a {type(old).__name__}; timm's own convert_sync_batchnorm keeps its activation")
    if kind_of(old) == "frozen_batch":
        raise Refused(f"`{path}` is frozen: it has no statistics that processes could share")
    tracked = bool(old.track_running_stats)
    momentum = getattr(old, "momentum", 0.1)
    new = nn.SyncBatchNorm(channels, _eps(old), momentum, _affine(old), tracked)
    return new, f"became SyncBatchNorm({channels})"


def _instance(old: nn.Module, path: str, channels: int, shape: Shape | None, groups: Groups) -> tuple[nn.Module, str]:
    _refuse_act(old, path)
    rank = len(shape) if shape is not None else _RANKS.get(type(old).__name__, 0)
    cls = {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}.get(rank)
    if cls is None:
        raise Refused(f"`{path}` reads a tensor without spatial axes, or of unknown rank")
    if _elements(shape) == 1:
        raise Refused(f"`{path}` reads one value for each channel, which an instance norm turns into its bias")
    return cls(channels, eps=_eps(old), affine=_affine(old)), f"became {cls.__name__}({channels})"


def _layer(old: nn.Module, path: str, channels: int, shape: Shape | None, groups: Groups) -> tuple[nn.Module, str]:
    _refuse_act(old, path)
    if shape is not None and prod(shape[1:]) == 1:
        raise Refused(f"`{path}` reads one value for each sample, which a layer norm turns into its bias")
    if shape is not None and len(shape) == 2:
        new: nn.Module = nn.LayerNorm(channels, eps=_eps(old), elementwise_affine=_affine(old))
        return new, f"became LayerNorm({channels})"
    if shape is None and isinstance(old, nn.BatchNorm1d):
        raise Refused(f"`{path}` could read two or three axes: the rank of its input is not known")
    new = nn.GroupNorm(1, channels, eps=_eps(old), affine=_affine(old))
    return new, f"became GroupNorm(1, {channels}), which normalises each sample as a whole"


def _frozen(old: nn.Module, path: str, channels: int, shape: Shape | None, groups: Groups) -> tuple[nn.Module, str]:
    _refuse_act(old, path)
    if (len(shape) if shape is not None else 4) != 4 or isinstance(old, (nn.BatchNorm1d, nn.BatchNorm3d)):
        raise Refused(f"`{path}` does not read images: torchvision freezes BatchNorm2d only")
    if old.running_mean is None:
        raise Refused(f"`{path}` has no running statistics to be frozen")
    try:
        from torchvision.ops import FrozenBatchNorm2d
    except (ImportError, RuntimeError) as error:
        raise Refused(f"`{path}` needs torchvision, which cannot be imported: {error}") from error
    new: nn.Module = FrozenBatchNorm2d(channels, eps=_eps(old))
    return new, f"became FrozenBatchNorm2d({channels})"


_MAKERS = {
    "group": _group, "batch": _batch, "sync_batch": _sync, "instance": _instance, "layer": _layer,
    "frozen_batch": _frozen,
}  # fmt: skip


def _carry_over(old: nn.Module, new: nn.Module) -> None:
    """Parameters stay the same objects; a frozen norm's buffers become parameters, and the other way round."""
    for name in _TENSORS:
        value = getattr(old, name, None)
        if name in new._parameters and name in old._parameters:
            new.register_parameter(name, old._parameters[name])
        elif name in new._parameters and isinstance(value, torch.Tensor):
            new.register_parameter(name, nn.Parameter(value.detach().clone()))
        elif name in new._buffers and isinstance(value, torch.Tensor):
            new._buffers[name] = value.detach().clone()
    own = (*old.parameters(recurse=False), *old.buffers(recurse=False))
    reference = next((tensor for tensor in own if tensor.is_floating_point()), None)
    if reference is not None:
        new.to(device=reference.device)
        for tensors in (new._parameters, new._buffers):
            for name, tensor in tensors.items():
                if tensor is not None and tensor.is_floating_point() and getattr(old, name, None) is None:
                    tensor.data = tensor.data.to(reference.dtype)
    for name in ("drop", "act"):
        if _is_act(old) and hasattr(new, name):
            setattr(new, name, getattr(old, name))
    new.training = old.training


def _is_act(old: nn.Module) -> bool:
    return type(old).__name__ in ("BatchNormAct2d", "GroupNormAct")


def _refuse_act(old: nn.Module, path: str) -> None:
    if _is_act(old):
        raise Refused(f"`{path}` is a {type(old).__name__}, whose activation has no place in the new norm")


def _eps(old: nn.Module) -> float:
    return float(getattr(old, "eps", 0.0))


def _affine(old: nn.Module) -> bool:
    return isinstance(getattr(old, "weight", None), torch.Tensor)
