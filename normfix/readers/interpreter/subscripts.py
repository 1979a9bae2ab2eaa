"""Subscripts: an element or a part of a value."""

from __future__ import annotations

import ast

from normfix.graph import Argument, Call, Unknown
from normfix.readers.interpreter import expressions
from normfix.readers.interpreter.joining import flat, join, tensors
from normfix.readers.interpreter.kinds import SEVERAL
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import (
    MISSING,
    Choice,
    Constant,
    Container,
    Instance,
    Items,
    Repeat,
    Scope,
    Table,
    Value,
)


def subscript(run: Run, node: ast.Subscript, scope: Scope) -> Value:
    value = expressions.evaluate(run, node.value, scope)
    if isinstance(node.slice, ast.Slice):
        bounds = [expressions.evaluate(run, part, scope) if part else Constant(None) for part in _bounds(node.slice)]
        return _sliced(run, value, bounds, node, scope)
    index = expressions.evaluate(run, node.slice, scope)
    return item(run, value, index, node, scope)


def _bounds(part: ast.Slice) -> tuple[ast.expr | None, ast.expr | None, ast.expr | None]:
    return part.lower, part.upper, part.step


def slice_(run: Run, node: ast.Slice, scope: Scope) -> Value:
    for part in _bounds(node):
        if part is not None:
            expressions.evaluate(run, part, scope)
    return Unknown("it is a slice")


def _sliced(run: Run, value: Value, bounds: list[Value], node: ast.AST, scope: Scope) -> Value:
    if isinstance(value, (Call, Choice)) and (tensor := run.tensor(value)) is not None and isinstance(tensor, Call):
        return run.operation("slice", [tensor], node, scope)
    items = value.items if isinstance(value, Container) else value
    if isinstance(value, Instance) and value.children is not None:
        items = value.children.items
    if isinstance(items, Items):
        plain = items.plain()
        places = [one.value for one in bounds if isinstance(one, Constant)]
        numbers = [place for place in places if place is None or isinstance(place, int)]
        if plain is not None and len(numbers) == 3:
            part = Items([*plain[slice(*numbers)]], items.kind)
        else:
            part = Items([Repeat([join(flat(items.content))])], items.kind) if items.content else Items([])
            part.leaked = items.leaked
        return Container(value.kind, part, Table({}), node, scope) if isinstance(value, Container) else part
    return value if isinstance(value, Unknown) else Unknown("it is a part of something that is not known")


def item(run: Run, value: Value, index: Value, node: ast.AST, scope: Scope) -> Value:
    """`value[index]`."""
    if isinstance(value, Choice):
        if next(tensors(value), None) is None:
            return join(item(run, option, index, node, scope) for option in value.options if option is not MISSING)
        tensor = run.tensor(value)
        value = tensor if isinstance(tensor, Call) else Unknown("it is not known to be a tensor")
    if isinstance(value, Call):
        inputs = [value, *tensors(index)]
        picks = value.kind in SEVERAL or (value.kind in ("unknown", "input") and isinstance(index, Constant))
        call = run.operation("getitem" if picks else "slice", inputs, node, scope)
        if picks and isinstance(index, Constant):
            call.layer.arguments = {"index": Argument(index.value)}
        return call
    if isinstance(value, Instance) and value.children is not None:
        value = value.children
    if isinstance(value, Container) and value.kind == "ModuleDict":
        value = value.table
    if isinstance(value, Table):
        return _entry(value, index)
    items = value.items if isinstance(value, Container) else value
    if isinstance(items, Items):
        return _element(items, index)
    return value if isinstance(value, Unknown) else Unknown("it is a part of something that is not known")


def _entry(table: Table, index: Value) -> Value:
    if isinstance(index, Constant) and hashable(index.value) and index.value in table.content:
        value = table.content[index.value]
        # A layer stays what it is; a setting may have been changed by whatever the table was handed to.
        return table.leaked if table.leaked is not None and isinstance(value, Constant) else value
    found = list(table.content.values())
    if isinstance(index, Constant) or table.leaked is not None:
        found.append(table.leaked or Unknown("the dict has no such key"))
    return join(found)


def hashable(value: object) -> bool:
    return value is None or isinstance(value, (int, float, str, bool, bytes))


def _element(items: Items, index: Value) -> Value:
    plain = items.plain()
    if plain is not None and isinstance(index, Constant) and isinstance(index.value, int):
        place = index.value
        return plain[place] if -len(plain) <= place < len(plain) else Unknown("the list is shorter")
    found = list(flat(items.content))
    if items.leaked is not None:
        found.append(items.leaked)
    return join(found)
