"""The constructor arguments of a live module, read off its attributes under the names of `vocabulary`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from normfix import vocabulary
from normfix.graph import Argument, Unknown

_NOT_KEPT = Unknown("the module does not keep this argument")
_PLACEMENT = frozenset({"device", "dtype"})


def arguments_of(module: nn.Module, kind: str) -> Mapping[str, Argument]:
    """Every hyper-parameter by name, as the module has it now; `Unknown` where the module does not tell."""
    if not vocabulary.is_known(kind):
        return {}
    names = [name for name in vocabulary.signature(kind) if not name.startswith(("*", "_")) and name not in _PLACEMENT]
    return {name: Argument(_value(module, name)) for name in names}


def _value(module: nn.Module, name: str) -> object:
    reader = _READERS.get(name)
    value = reader(module) if reader is not None else getattr(module, name, _NOT_KEPT)
    return value if _is_plain(value) else _NOT_KEPT


def _is_plain(value: object) -> bool:
    if isinstance(value, (tuple, list)):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str, Unknown))


def _has(module: nn.Module, name: str) -> bool:
    """Is this tensor there, or what a reparametrization computes it from."""
    own = getattr(module, name, None)
    return own is not None or any(f"{name}{suffix}" in module._parameters for suffix in ("_g", "_orig"))


def _affine(module: nn.Module) -> object:
    if hasattr(module, "elementwise_affine"):
        return module.elementwise_affine
    return _has(module, "weight") or _has(module, "bias")


def _bias(module: nn.Module) -> object:
    if isinstance(module, nn.MultiheadAttention):
        return module.in_proj_bias is not None
    # BatchNorm with affine=False has no bias either, and was not asked for one.
    if getattr(module, "affine", True) is False or getattr(module, "elementwise_affine", True) is False:
        return True
    return _has(module, "bias")


def _tracked(module: nn.Module) -> object:
    """The attribute, which may have been flipped after construction; whether there are buffers, the state tells."""
    return bool(getattr(module, "track_running_stats", False))


def _width(module: nn.Module) -> object:
    if hasattr(module, "num_channels"):
        return module.num_channels
    shape = getattr(module, "normalized_shape", None)
    return shape[0] if isinstance(shape, (tuple, list)) and len(shape) == 1 else shape or _NOT_KEPT


def _features(module: nn.Module) -> object:
    if hasattr(module, "num_features"):
        return module.num_features
    for name in ("running_mean", "weight"):
        tensor = getattr(module, name, None)
        if tensor is not None:
            return max(tensor.shape)
    return _NOT_KEPT


def _shape(module: nn.Module) -> object:
    shape = getattr(module, "normalized_shape", _NOT_KEPT)
    return tuple(shape) if isinstance(shape, (tuple, list)) else shape


_READERS: dict[str, Callable[[nn.Module], object]] = {
    "bias": _bias,
    "affine": _affine,
    "track_running_stats": _tracked,
    "num_features": _features,
    "num_channels": _width,
    "channels": _width,
    "normalized_shape": _shape,
    "normalization_shape": _shape,
    "apply_act": lambda module: not isinstance(getattr(module, "act", None), nn.Identity),
    "add_bias_kv": lambda module: getattr(module, "bias_k", None) is not None,
    "process_group": lambda module: _NOT_KEPT,
}
