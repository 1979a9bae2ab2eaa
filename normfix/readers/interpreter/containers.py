"""Containers of layers: built, grown, and called."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from normfix.graph import Call, Unknown
from normfix.readers.interpreter import christening, displays, modules
from normfix.readers.interpreter.arguments import Arguments
from normfix.readers.interpreter.forking import NORMAL
from normfix.readers.interpreter.joining import flat, join, layers
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import (
    Choice,
    Constant,
    Container,
    Fork,
    Items,
    Part,
    Repeat,
    Scope,
    Table,
    Value,
)


def build(run: Run, kind: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Container:
    """`nn.Sequential(...)`, `nn.ModuleList(...)`, `nn.ModuleDict(...)`."""
    items, table = Items([]), Table({})
    given = arguments.get(0, "modules" if kind != "Sequential" else "*")
    if kind == "Sequential" and not (len(arguments.positional) == 1 and isinstance(given, Table)):
        for passed in arguments.positional:
            if passed.position is None and isinstance(passed.value, Items):
                items.content += passed.value.content
                items.leaked = items.leaked or passed.value.leaked
            else:
                items.content.append(passed.value)
    elif isinstance(given, Table):
        items.content += given.content.values()
        items.leaked = given.leaked
        table.content.update(given.content)
        table.leaked = given.leaked
    elif given is not None and kind == "ModuleDict":
        _pairs(given, items, table)
    elif given is not None:
        found = displays.iterated(run, given, node, scope)
        items.content += found.content
        items.leaked = found.leaked
    items.leaked = items.leaked or arguments.incomplete
    container = Container(kind, items, table, node, scope)
    adopt(container)
    for index, one in enumerate(flat(items.content)):
        christening.christen(one, f"{kind}[{index}]")
    run.containers.append(container)
    return container


def _pairs(given: Value, items: Items, table: Table) -> None:
    """A ModuleDict made of (name, layer) pairs."""
    plain = given.plain() if isinstance(given, Items) else None
    for pair in plain or ():
        both = pair.plain() if isinstance(pair, Items) else None
        if both is not None and len(both) == 2 and isinstance(both[0], Constant):
            table.content[both[0].value] = both[1]
            items.content.append(both[1])
            continue
        table.leaked = Unknown("a key of the dict is not known")
    if plain is None:
        table.leaked = items.leaked = Unknown("what the dict holds is not known")


def adopt(container: Container) -> None:
    """The containers inside this one are called by it."""
    for part in [*flat(container.items.content), *container.table.content.values()]:
        for one in part.options if isinstance(part, Choice) else [part]:
            if isinstance(one, Container):
                one.handed = True


def add(run: Run, container: Container, value: Value, name: object = None) -> None:
    """Put a layer at the end."""
    run.touch(container.items)
    christening.christen(value, f"{container.name or container.kind}[{len(container.items.content)}]")
    container.items.content.append(value)
    if name is not None:
        run.touch(container.table)
        container.table.content[name] = value
    for one in value.options if isinstance(value, Choice) else [value]:
        if isinstance(one, Container):
            one.handed = True


def extend(run: Run, container: Container, more: Items) -> None:
    """Put several layers at the end."""
    run.touch(container.items)
    for index, one in enumerate(flat(more.content), len(container.items.content)):
        christening.christen(one, f"{container.name or container.kind}[{index}]")
    container.items.content += more.content
    container.items.leaked = container.items.leaked or more.leaked
    adopt(container)


def insert(run: Run, container: Container, arguments: Arguments) -> bool:
    """Put a layer at a place that is known; False where it is not."""
    place, value, plain = arguments.get(0, "index"), arguments.get(1, "module"), container.items.plain()
    if value is None or plain is None or not isinstance(place, Constant) or not isinstance(place.value, int):
        return False
    run.touch(container.items)
    christening.christen(value, f"{container.name or container.kind}[{place.value}]")
    container.items.content.insert(place.value, value)
    adopt(container)
    return True


def run_sequential(run: Run, container: Container, value: Value, node: ast.AST, scope: Scope) -> Value:
    """The result of calling a Sequential."""
    container.called = True
    items = container.items
    if items.leaked is not None:
        for part in flat(items.content):
            run.escape(part, items.leaked)
            for layer in layers(part):
                run.escape(layer, items.leaked)
        run.escape(value, Unknown("it is read by a container whose layers are not all known"))
        return run.mystery(items.leaked.reason, [one for one in [run.tensor(value)] if one is not None], node, scope)
    return _through(run, items.content, value, node, scope)


def _through(run: Run, parts: Sequence[Part], value: Value, node: ast.AST, scope: Scope) -> Value:
    for part in parts:
        if isinstance(part, Fork):
            value = _either(run, part, value, node, scope)
        elif isinstance(part, Repeat):
            value = _rounds(run, part, value, node, scope)
        else:
            value = modules.call_module(run, part, [value], node, scope)
    return value


def _either(run: Run, fork: Fork, value: Value, node: ast.AST, scope: Scope) -> Value:
    found: list[Value] = []

    def side(parts: Sequence[Part]) -> int:
        found.append(_through(run, parts, value, node, scope))
        return NORMAL

    run.fork([lambda parts=parts: side(parts) for parts in fork.alternatives])  # type: ignore[misc]
    return join(found)


def _rounds(run: Run, repeat: Repeat, value: Value, node: ast.AST, scope: Scope) -> Value:
    found: list[Value] = []

    def once() -> int:
        start = join([value, Unknown("the round before feeds it too")])
        found.append(_through(run, repeat.parts, start, node, scope))
        return NORMAL

    run.repeat(once, lambda name: False)
    for one in found:
        if isinstance(one, (Call, Choice)):
            run.escape(one, Unknown("the next round of a repeated block reads it"))
    return join([value, *found])


def unsettle(run: Run, value: Value, why: Unknown) -> None:
    """The layers of a container may be replaced or removed."""
    for layer in layers(value):
        run.escape(layer, why)
    if isinstance(value, Container):
        value.items.leaked = value.items.leaked or why
