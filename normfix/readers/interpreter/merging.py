"""What two branches leave behind, merged; what a test says about a value."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from operator import is_not

from normfix.graph import Call, Layer, Unknown
from normfix.readers.interpreter.joining import compressed, join
from normfix.readers.interpreter.values import (
    MISSING,
    Bound,
    Choice,
    Class,
    Constant,
    Container,
    Fork,
    Function,
    Instance,
    Items,
    Part,
    Partial,
    Table,
    Value,
)

_OBJECTS = (Layer, Container, Instance, Function, Bound, Partial, Class, Items, Table)
"""Values that are something, never None."""


def merged(contents: Sequence[object]) -> object:
    if isinstance(contents[0], list):
        return _merge_lists(contents)  # type: ignore[arg-type]  # the contents of one box have one type
    return _merge_tables(contents)  # type: ignore[arg-type]  # likewise


def _merge_tables(tables: Sequence[dict[object, Value]]) -> dict[object, Value]:
    first, *others = tables
    found = dict(first)
    for other in others:
        changed = list(compress(other, map(is_not, map(first.get, other), other.values())))
        missing = [key for key in first if key not in other] if len(other) - len(changed) < len(first) else []
        for key in (*changed, *missing):
            found[key] = MISSING
    for key, value in found.items():
        if value is MISSING:
            found[key] = join([table.get(key, MISSING) for table in tables])
    return found


def _merge_lists(lists: Sequence[list[Part]]) -> list[Part]:
    prefix = 0
    while all(prefix < len(one) for one in lists) and all(one[prefix] is lists[0][prefix] for one in lists):
        prefix += 1
    rests = [one[prefix:] for one in lists]
    if not any(rests):
        return lists[0]
    return compressed([*lists[0][:prefix], Fork(rests)])


def truth(value: Value) -> bool | None:
    """Is the value true; None where that is not known."""
    if isinstance(value, Constant):
        return bool(value.value)
    if isinstance(value, Choice):
        found = {truth(option) for option in value.options if option is not MISSING}
        return found.pop() if len(found) == 1 else None
    if isinstance(value, Items):
        plain = value.plain()
        return bool(plain) if plain is not None else None
    if isinstance(value, (Layer, Instance, Function, Bound, Partial)):
        return True
    return None


def is_none(value: Value) -> bool | None:
    """Is the value None; None where that is not known."""
    if isinstance(value, Constant):
        return value.value is None
    if isinstance(value, Choice):
        found = {is_none(option) for option in value.options if option is not MISSING}
        return found.pop() if len(found) == 1 else None
    if isinstance(value, Unknown) or value is MISSING:
        return None
    if isinstance(value, Call):
        return None if value.kind in ("input", "unknown", "getitem") else False
    return False if isinstance(value, _OBJECTS) else None
