"""Values of a model's tensors in float64 while a plan is worked out: read once, changed often, cast once at the end."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

import torch
from torch import Tensor

from normfix.errors import Refused
from normfix.transforms.base import SetTensor


class Store:
    """The state of a model, by canonical name, with the changes that a plan has made so far."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._state = state
        self._changed: dict[str, tuple[Tensor, str]] = {}
        self._pending: dict[str, tuple[Tensor, str]] | None = None

    def __enter__(self) -> Store:
        """Begin a change that is kept as a whole, or not at all if an exception ends it."""
        self._pending = dict(self._changed)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None and self._pending is not None:
            self._changed = self._pending
        self._pending = None

    def read(self, name: str) -> Tensor:
        """The present value, in float64 on the CPU. Raises `Refused` for a tensor that holds no values."""
        current = self._changed if self._pending is None else self._pending
        if name in current:
            return current[name][0]
        tensor = self._state[name]
        if tensor.device.type == "meta":
            raise Refused(f"`{name}` is on the meta device, which holds no values")
        return tensor.detach().to(device="cpu", dtype=torch.float64)

    def holds(self, name: str) -> bool:
        current = self._changed if self._pending is None else self._pending
        return name in current or name in self._state

    def write(self, name: str, value: Tensor, like: str) -> None:
        """Set a value. Raises `Refused` where it is not finite, or leaves the range of the dtype it will have."""
        if self._pending is None:
            raise RuntimeError("a store is written inside a `with` block only")
        dtype = self._state[name if name in self._state else like].dtype
        ends = torch.stack(value.aminmax()) if value.numel() else value  # both are nan where one element is
        if not bool(torch.isfinite(ends).all()):
            raise Refused(f"the new `{name}` would not be finite")
        if not bool(torch.isfinite(ends.to(dtype)).all()):
            raise Refused(f"the new `{name}` would leave the range of {str(dtype).removeprefix('torch.')}")
        self._pending[name] = (value, like)

    def original(self) -> Store:
        """The state as the model holds it, without any change."""
        return Store(self._state)

    def edits(self) -> list[SetTensor]:
        """Every change, ready to be applied to a model."""
        return [SetTensor(name, value, like) for name, (value, like) in self._changed.items()]
