"""Methods of Python's own values: texts, lists, dicts."""

from __future__ import annotations

import ast

from normfix.graph import Unknown
from normfix.readers.interpreter import displays, modules, operators, subscripts
from normfix.readers.interpreter.arguments import Arguments
from normfix.readers.interpreter.joining import flat, join, options
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import MISSING, NONE, Constant, Items, Repeat, Scope, Table, Value


def invoke(
    run: Run, receiver: Items | Table | Constant, name: str, arguments: Arguments, node: ast.AST, scope: Scope
) -> Value:
    """The result of a method of a list, a dict, a text, or another plain value."""
    if isinstance(receiver, Items):
        return _of_list(run, receiver, name, arguments, node, scope)
    if isinstance(receiver, Table):
        return of_dict(run, receiver, name, arguments, node, scope)
    return _of_constant(receiver, name, arguments)


def _of_constant(receiver: Constant, name: str, arguments: Arguments) -> Value:
    given = [one.value for one in arguments.values() if isinstance(one, Constant)]
    if isinstance(receiver.value, str) and len(receiver.value) < 200:
        if name in ("lower", "upper", "strip", "title", "capitalize") and not given:
            return Constant(getattr(receiver.value, name)())
        if name == "format" and len(given) == sum(1 for _ in arguments.values()) and not arguments.keywords:
            return operators.formatted(receiver.value, given)
    return Unknown("it is a computed value")


def _of_list(run: Run, items: Items, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    first = arguments.get(0, "object")
    if name in ("append", "add") and first is not None:
        run.touch(items)
        items.content.append(first)
        if items.leaked is not None:
            run.escape(first, items.leaked)
        return NONE
    if name == "extend" and first is not None:
        displays.extend(run, items, displays.iterated(run, first, node, scope))
        return NONE
    plain = items.plain()
    if name == "insert" and plain is not None:
        place, value = arguments.get(0, "index"), arguments.get(1, "object")
        if isinstance(place, Constant) and isinstance(place.value, int) and value is not None:
            run.touch(items)
            items.content = [*plain[: place.value], value, *plain[place.value :]]
            return NONE
    if name == "pop" and plain and not run.looping:
        index = first.value if isinstance(first, Constant) else -1 if first is None else None
        if isinstance(index, int) and -len(plain) <= index < len(plain):
            run.touch(items)
            value = plain[index]
            items.content = [one for place, one in enumerate(plain) if place != index % len(plain)]
            return value
    if name in ("index", "count", "copy"):
        return Items(list(items.content), items.kind) if name == "copy" else Unknown("it is a place in a list")
    return _scrambled(run, items, name, arguments)


def _scrambled(run: Run, items: Items, name: str, arguments: Arguments) -> Value:
    """The list changes in a way that is not followed: each of its elements may stand anywhere in it."""
    why = Unknown(f"`{name}` changes the list in a way that is not followed")
    elements = [*flat(items.content), *arguments.values()]
    run.touch(items)
    items.content = [Repeat([join([*elements, why])])] if elements else []
    items.leaked = items.leaked or why
    for value in elements:
        run.escape(value, why)
    return join([*elements, why])


def of_dict(run: Run, table: Table, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    """The result of a method of a dict."""
    if name == "items":
        pairs = [Items([Constant(key), value], "tuple") for key, value in table.content.items()]
        return _listed(list(pairs), table)
    if name in ("keys", "values"):
        found: list[Value] = [Constant(key) for key in table.content] if name == "keys" else [*table.content.values()]
        return _listed(found, table)
    first = arguments.get(0, "key")
    if name in ("get", "pop", "setdefault") and first is not None:
        default = arguments.get(1, "default") or NONE
        if isinstance(first, Constant) and table.leaked is None:
            held = table.content.get(first.value)
            if run.looping and held is not None:
                return held
            if not run.looping and (held is None or MISSING not in options(held)):
                return _entry(run, table, name, first.value, default)
        return join([subscripts.item(run, table, first, node, scope), default])
    if name == "update":
        for value in arguments.values():
            run.touch(table)
            if isinstance(value, Table):
                table.content.update(value.content)
                table.leaked = table.leaked or value.leaked
            else:
                run.escape(value, Unknown("it is put into a dict"))
                table.leaked = table.leaked or Unknown("what the dict was updated with is not known")
        return NONE
    if name == "copy":
        return Table(dict(table.content), table.leaked)
    return modules.mystery(run, f"`{name}` of a dict is not followed", arguments, node, scope)


def _entry(run: Run, table: Table, name: str, key: object, default: Value) -> Value:
    """What a dict whose keys are known holds under one of them; it goes with `pop`, and comes with `setdefault`."""
    value = table.content.get(key, default)
    if name != "get" and (name == "pop") == (key in table.content):
        run.touch(table)
        if name == "pop":
            del table.content[key]
        else:
            table.content[key] = default
    return value


def _listed(values: list[Value], table: Table) -> Items:
    items = Items([*values], "tuple")
    if table.leaked is not None:
        items.content.append(Repeat([table.leaked]))
        items.leaked = table.leaked
    return items
