"""Leaves a model, and the process around it, as they were: a trace runs the caller's code."""

from __future__ import annotations

import io
import logging
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional
from torch import nn

_COPIED = (dict, list, set)


@contextmanager
def untouched(model: nn.Module, keep_buffers: bool = False) -> Iterator[None]:
    """Whatever runs inside, attributes, modes, flags and random numbers are put back.

    Attributes that hold a list, a dict or a set get their old items back too. `keep_buffers` copies the values of
    buffers and restores them: needed where the forward pass runs on real tensors.
    """
    modules = list({id(module): module for module in model.modules()}.values())
    attributes = [_attributes(module) for module in modules]
    buffers = (
        {buffer: buffer.detach().clone() for buffer in model.buffers() if _has_memory(buffer)} if keep_buffers else {}
    )
    gradients = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        with _process_state():
            yield
    finally:
        for module, (values, items) in zip(modules, attributes, strict=True):
            _restore(module, values, items)
        for buffer, value in buffers.items():
            with torch.no_grad():
                if buffer.shape != value.shape:
                    buffer.resize_(value.shape)  # observers of quantization grow theirs
                buffer.copy_(value)
        for parameter, required in gradients:
            parameter.requires_grad_(required)


def _has_memory(tensor: torch.Tensor) -> bool:
    return tensor.device.type != "meta"


def _attributes(module: nn.Module) -> tuple[dict[str, Any], dict[str, Any]]:
    values = dict(vars(module))
    return values, {name: value.copy() for name, value in values.items() if isinstance(value, _COPIED)}


def _restore(module: nn.Module, values: dict[str, Any], items: dict[str, Any]) -> None:
    state = vars(module)
    if state.keys() != values.keys() or any(state[name] is not value for name, value in values.items()):
        state.clear()
        state.update(values)
    for name, old in items.items():
        held = values[name]
        if isinstance(held, list):
            held[:] = old
        elif not _holds(held, old):
            held.clear()
            held.update(old)


def _holds(held: dict[Any, Any] | set[Any], old: dict[Any, Any] | set[Any]) -> bool:
    """Are the very same objects there in the same order: what is equal need not be, and tensors cannot be asked."""
    items = (list(one.items()) if isinstance(one, dict) else [(item, item) for item in one] for one in (held, old))
    now, before = ([part for pair in pairs for part in pair] for pairs in items)
    return len(now) == len(before) and all(part is other for part, other in zip(now, before, strict=True))


@contextmanager
def _process_state() -> Iterator[None]:
    python, grad, dtype = random.getstate(), torch.is_grad_enabled(), torch.get_default_dtype()
    numpy = _numpy_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]  # torch
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python)
            torch.set_grad_enabled(grad)
            torch.set_default_dtype(dtype)
            if numpy is not None:
                numpy[0](numpy[1])


def _numpy_state() -> tuple[Any, Any] | None:
    numpy = sys.modules.get("numpy")
    return (numpy.random.set_state, numpy.random.get_state()) if numpy is not None else None


@contextmanager
def traceable(model: nn.Module) -> Iterator[None]:
    """Let a trace pass where only numbers are in the way: a batch norm that refuses to normalise one element, the
    mean over all batches (momentum None) whose weight is read from a buffer, a forward that `compile()` replaced."""
    averaging = [module for module in model.modules() if module.training and getattr(module, "momentum", 0) is None]
    compiled = [module for module in model.modules() if getattr(module, "_compiled_call_impl", None) is not None]
    with ExitStack() as stack:
        stack.enter_context(quiet())
        for name in ("_verify_batch_size", "_verify_spatial_size"):
            stack.enter_context(patch.object(torch.nn.functional, name, lambda size: None))
        for module in averaging:
            stack.enter_context(patch.object(module, "momentum", 0.1))
        for module in compiled:
            stack.enter_context(patch.object(module, "_compiled_call_impl", None))
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the terminal clean: torch logs whole graphs when a trace fails; users get the reason in one line."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        # What the caller's forward prints must not get into a report that goes to stdout.
        with redirect_stdout(sys.stderr), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
