"""Which kind of `vocabulary` a live module is: its class, or a subclass that computes the same."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from normfix import vocabulary

_LIBRARIES = ("timm", "torchvision")
_HARMLESS = frozenset(
    """
    __init__ __new__ __setstate__ __getstate__ __repr__ __dir__ __module__ __doc__ __qualname__ __annotations__
    __dict__ __weakref__ __constants__ __parameters__ __static_attributes__ __firstlineno__ __hash__ __eq__
    __init_subclass__ __subclasshook__ __class_getitem__ __orig_bases__ __type_params__ __annotate_func__
    __deepcopy__ __copy__ __reduce__ __reduce_ex__ __abstractmethods__ __slots__ __extra_repr__ __str__
    _abc_impl _version extra_repr reset_parameters reset_running_stats _get_name dump_patches from_float
    _load_from_state_dict _save_to_state_dict state_dict load_state_dict train eval half float double to cuda cpu
    """.split()
)
"""What a subclass may change without changing what the forward pass computes."""


def kind_of(module: nn.Module) -> tuple[str, str]:
    """The kind of a module and "", or "unknown" and the reason. A subclass keeps the kind of its base where it
    inherits the whole computation."""
    cls: Any = type(module)
    base, kind = _base(cls)
    if base is None:
        return "unknown", f"`{qualified(cls)}` is no layer that normfix knows"
    if "forward" in vars(module):
        return "unknown", f"the `forward` of this {kind} was replaced on the object"
    changed = _overridden(cls, base)
    if changed and not parametrize.is_parametrized(module):
        return "unknown", f"`{qualified(cls)}` is a {kind} with its own `{changed[0]}`"
    return kind, ""


def qualified(cls: type) -> str:
    """The dotted name of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


@cache
def _base(cls: type) -> tuple[type | None, str]:
    for base in cls.__mro__:
        kind = _kind_of_class(base)
        if kind:
            return base, kind
    return None, ""


def _kind_of_class(cls: type) -> str:
    package = cls.__module__.partition(".")[0]
    if package == "torch":
        return cls.__name__ if vocabulary.is_known(cls.__name__) and getattr(nn, cls.__name__, None) is cls else ""
    if package in _LIBRARIES:
        kind = f"{package}.{cls.__name__}"
        return kind if vocabulary.is_known(kind) else ""
    # Switchable Normalization has no package: its reference file is copied from repository to repository.
    return cls.__name__ if cls.__name__.startswith("SwitchNorm") and vocabulary.is_known(cls.__name__) else ""


@cache
def _overridden(cls: type, base: type) -> tuple[str, ...]:
    """What the subclass defines again although the base computes with it: methods, and properties for its tensors."""
    names: list[str] = []
    for derived in cls.__mro__[: cls.__mro__.index(base)]:
        for name, value in vars(derived).items():
            again = hasattr(base, name) or (isinstance(value, property) and name in base.__annotations__)
            if again and name not in _HARMLESS:
                names.append(name)
    return tuple(names)
