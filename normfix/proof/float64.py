"""Keep a forward pass in float64, whatever it casts to on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from normfix.proof.convolving import convolve

_WIDER = {
    torch.float32: torch.float64,
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.complex64: torch.complex128,
}


def widen(value: Any) -> Any:
    """A float tensor or dtype in double precision; anything else as it is."""
    if isinstance(value, Tensor) and value.dtype in _WIDER:
        return value.to(_WIDER[value.dtype])
    return _WIDER.get(value, value) if isinstance(value, torch.dtype) else value


class InFloat64(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its base untyped
    """Widens the tensors and dtypes that every operation is given, except a tensor that it writes to.

    `x.float()` in a forward would otherwise round a float64 run, and hide what it is to show.
    """

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        names, written = _signature(func)
        if written:
            wide = [value if name in written else _widen(value) for name, value in zip(names, args, strict=False)]
        else:
            wide = [_widen(value) for value in args]
        named = {name: value if name in written else _widen(value) for name, value in (kwargs or {}).items()}
        if func is torch.ops.aten.convolution.default and not named:
            made = convolve(*wide)
            if made is not None:
                return made
        call: Callable[..., Any] = func
        return call(*wide, **named)


def _widen(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        return widen(value)
    return value if all(isinstance(part, (int, float)) for part in value) else tree_map(widen, value)


@cache
def _signature(func: Any) -> tuple[tuple[str, ...], frozenset[str]]:
    """The names of an operation's arguments, and of those that it writes to."""
    arguments = func._schema.arguments
    return tuple(a.name for a in arguments), frozenset(a.name for a in arguments if _is_written(a))


def _is_written(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write
