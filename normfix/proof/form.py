"""What a model returns apart from the numbers: how it is nested, and of which dtype each tensor is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import SUPPORTED_NODES, keystr, tree_flatten_with_path

Form = dict[str, str]
"""What stands at each place: a dtype, None, or the name of a class. A list and a tuple have the same places."""

_SHOWN = 3


def form(value: object) -> Form:
    """The form of what a model returned; numbers count as tensors."""
    return {place: _kind(leaf) for place, leaf in places(value)}


def places(value: object, at: str = "") -> Iterator[tuple[str, Any]]:
    """What stands at each place of a nest of containers and dataclasses: its leaves, and containers that are empty."""
    for path, leaf in tree_flatten_with_path(value, is_leaf=lambda node: is_empty(node) or has_no_keys(node))[0]:
        place = at + keystr(path)
        if dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
            for field in dataclasses.fields(leaf):
                yield from places(getattr(leaf, field.name), f"{place}.{field.name}")
        elif has_no_keys(leaf):
            for index, part in enumerate(SUPPORTED_NODES[type(leaf)].flatten_fn(leaf)[0]):
                yield from places(part, f"{place}<{index}>")
        else:
            yield place, leaf


def differences(before: Form, after: Form) -> list[str]:
    """How the second form differs from the first, a sentence each; empty where they are the same."""
    gone, new = _listed(before, after), _listed(after, before)
    told = [f"the outputs are nested differently: {gone} before, {new} after"] if before.keys() != after.keys() else []
    changed = [place for place in before if place in after and before[place] != after[place]]
    return told + [f"`output{place}` is {before[place]} before and {after[place]} after" for place in changed[:_SHOWN]]


def _listed(first: Form, second: Form) -> str:
    only = [f"`output{place}`" for place in first if place not in second]
    return ", ".join(only[:_SHOWN]) + " ..." * (len(only) > _SHOWN) or "nothing else"


def _kind(leaf: Any) -> str:
    if isinstance(leaf, (Tensor, bool, int, float)):
        return str(leaf.dtype if isinstance(leaf, Tensor) else torch.tensor(leaf).dtype)
    if leaf is None or is_empty(leaf):
        return "None" if leaf is None else "empty"
    return f"`{type(leaf).__name__}`"


def has_no_keys(value: object) -> bool:
    """Is it a container of a library that told torch its parts, and no names of them (the outputs of diffusers)."""
    node = SUPPORTED_NODES.get(type(value))
    return node is not None and node.flatten_with_keys_fn is None


def is_empty(value: object) -> bool:
    """Is it a container without content."""
    return isinstance(value, (list, tuple, dict)) and not value
