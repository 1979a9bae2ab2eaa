"""Values that stand for several, and what is inside a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from normfix.graph import Call, Layer, Unknown
from normfix.readers.interpreter.values import (
    Choice,
    Constant,
    Container,
    Dotted,
    Fork,
    Instance,
    Items,
    Method,
    Part,
    Repeat,
    Table,
    Value,
)

_LONGEST = 200
"""Elements of a list that are kept apart."""
_HOLDING = (Items, Table, Choice, Method)
"""Values that may hold others."""
_MOST = 12
"""Values that one stands for before it stands for anything."""
_COMPARED = frozenset({Constant, Dotted, Unknown})
"""Types of values that are told apart by what they say; all others are themselves only."""


def options(value: Value) -> list[Value]:
    """What a value may be, one by one."""
    return value.options if isinstance(value, Choice) else [value]


def join(values: Iterable[Value]) -> Value:
    """One value that stands for any of these."""
    found: list[Value] = []
    for value in values:
        for option in value.options if type(value) is Choice else (value,):
            kind = type(option)
            for other in found:
                if option is other or (kind is type(other) and kind in _COMPARED and _equal(option, other)):
                    break
            else:
                found.append(option)
    return found[0] if len(found) == 1 else _one_of(found)


def _one_of(found: list[Value]) -> Value:
    """One value for several that differ, or for none."""
    kinds = [type(one) for one in found]
    if kinds.count(Constant) > 1:
        others = [one for one in found if type(one) is not Constant or one.value is None]
        if len(others) + 1 < len(found):
            found = [*others, Unknown("it depends on a branch")]
    if not found:
        return Unknown("it has no value")
    if len(found) > _MOST:
        return Unknown("it may be one of many things")
    if kinds.count(Items) == len(found):
        return _join_items(found)  # type: ignore[arg-type]  # all of them are lists, as just counted
    return Choice(found) if len(found) > 1 else found[0]


def _equal(one: Value, other: Value) -> bool:
    """Are two values of one of the types that are compared the same: one unknown is as good as the other."""
    if isinstance(one, Constant) and isinstance(other, Constant):
        return type(one.value) is type(other.value) and one.value == other.value
    if isinstance(one, Dotted) and isinstance(other, Dotted):
        return one.name == other.name
    return True


def _join_items(rows: Sequence[Items]) -> Items:
    plains = [row.plain() for row in rows]
    kind = rows[0].kind
    if kind == "tuple" and all(plain is not None and len(plain) == len(plains[0] or ()) for plain in plains):
        return Items([join(column) for column in zip(*(plain or [] for plain in plains), strict=True)], kind)
    merged = Items(compressed([Fork([list(row.content) for row in rows])]), kind)
    merged.leaked = next((row.leaked for row in rows if row.leaked is not None), None)
    return merged


def flat(parts: Iterable[Part]) -> Iterator[Value]:
    """Every element that a list may hold."""
    stack = list(parts)[::-1]
    while stack:
        part = stack.pop()
        if type(part) is Fork:
            stack += [one for alternative in part.alternatives[::-1] for one in alternative[::-1]]
        elif type(part) is Repeat:
            stack += part.parts[::-1]
        else:
            yield part  # type: ignore[misc]  # neither Fork nor Repeat is left


def compressed(parts: list[Part]) -> list[Part]:
    """The same elements in a form of bounded size: branch upon branch would double a list each time."""
    count = 0
    for count, _ in enumerate(flat(parts)):
        if count > _LONGEST:
            break
    if count <= _LONGEST:
        return parts
    found: dict[int, Value] = {}
    for place, value in enumerate(flat(parts)):
        found.setdefault(id(value), value)
        if place > 20 * _LONGEST:
            found[0] = Unknown("the list is too long to be followed")
            break
    return [Repeat([Choice(list(found.values()))])]


def tensors(value: Value) -> Iterator[Call]:
    """Every call whose result a value holds, lists and dicts searched."""
    if isinstance(value, Call):
        return iter((value,))
    if not isinstance(value, _HOLDING):
        return iter(())
    return (one for one in leaves(value) if isinstance(one, Call))


def leaves(value: Value) -> Iterator[Value]:
    """What a value holds, lists and dicts searched."""
    seen: set[int] = set()
    stack: list[Value] = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, Method) and isinstance(one.receiver, Call):
            yield one.receiver
        elif not isinstance(one, (Items, Table, Choice)):
            yield one
        elif id(one) not in seen:
            seen.add(id(one))
            stack += children(one)[::-1]


def children(value: Items | Table | Choice) -> list[Value]:
    if isinstance(value, Items):
        return list(flat(value.content))
    return list(value.content.values()) if isinstance(value, Table) else value.options


def layers(value: Value) -> Iterator[Layer]:
    """Every layer inside a value."""
    stack, seen = [value], set()
    while stack:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, Layer):
            yield one
        elif isinstance(one, Container):
            stack += [*flat(one.items.content), *one.table.content.values()]
        elif isinstance(one, Instance):
            stack += [*one.content.values(), *(part for part in (one.children, one.itself) if part is not None)]
        elif isinstance(one, (Items, Table, Choice)):
            stack += children(one)
