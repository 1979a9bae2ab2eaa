"""The names that layers go by."""

from __future__ import annotations

from normfix.graph import Layer
from normfix.readers.interpreter.joining import flat
from normfix.readers.interpreter.values import Choice, Container, Instance, Value

_NAMED = (Layer, Container, Choice)
"""Values that are given a name, or hold such."""


def christen(value: Value, name: str) -> None:
    """Give a layer the name that its users know: an attribute's above a variable's above a place in a container."""
    if isinstance(value, Instance):
        value = value.itself or value
    if not isinstance(value, _NAMED):
        return
    if isinstance(value, Layer):
        if _better(value.name, value.kind, name):
            value.name = name
    elif isinstance(value, Container):
        if _better(value.name, "", name):
            value.name = name
            for index, one in enumerate(flat(value.items.content)):
                christen(one, f"{name}[{index}]")
            for key, one in value.table.content.items():
                christen(one, f"{name}.{key}")
    elif isinstance(value, Choice):
        for option in value.options:
            christen(option, name)


def _better(old: str, kind: str, new: str) -> bool:
    if new.startswith(("self.", "self[")):
        return not old.startswith(("self.", "self["))
    return old == kind or old.startswith(("Sequential[", "ModuleList[", "ModuleDict["))
