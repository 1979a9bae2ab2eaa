"""Lists, tuples, dicts, comprehensions, and what a loop over a value sees."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from normfix.graph import Call, Unknown
from normfix.readers.interpreter import expressions, iteration, modules, subscripts, targets
from normfix.readers.interpreter.forking import NORMAL
from normfix.readers.interpreter.joining import compressed, flat, join
from normfix.readers.interpreter.merging import truth
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import (
    Choice,
    Constant,
    Container,
    Fork,
    Instance,
    Items,
    Part,
    Repeat,
    Scope,
    Table,
    Value,
)


def elements(run: Run, nodes: Sequence[ast.expr], scope: Scope) -> Items:
    """The elements of a list or tuple display, starred ones spread."""
    parts: list[Part] = []
    leaked: Unknown | None = None
    for node in nodes:
        if isinstance(node, ast.Starred):
            items = iterated(run, expressions.evaluate(run, node.value, scope), node, scope)
            parts += items.content
            leaked = leaked or items.leaked
        else:
            parts.append(expressions.evaluate(run, node, scope))
    items = Items(parts)
    items.leaked = leaked
    return items


def iterated(run: Run, value: Value, node: ast.AST, scope: Scope) -> Items:
    """What a loop over this value sees."""
    if isinstance(value, Items):
        return value
    if isinstance(value, Container):
        return value.items if value.kind != "ModuleDict" else Items([Constant(name) for name in value.table.content])
    if isinstance(value, Instance) and value.children is not None:
        return value.children.items
    if isinstance(value, Table):
        items = Items([Constant(key) for key in value.content])
        items.leaked = value.leaked
        return items
    if isinstance(value, Call):
        return Items([Repeat([run.operation("getitem", [value], node, scope)])])
    if isinstance(value, Choice) and all(isinstance(one, (Items, Container)) for one in value.options):
        return Items([Fork([list(iterated(run, one, node, scope).content) for one in value.options])])
    run.escape(value, Unknown("it is iterated in a way that is not followed"))
    unknown = Items([Repeat([Unknown("it comes from something that is not known")])])
    unknown.leaked = Unknown("what is iterated is not known")
    return unknown


def list_(run: Run, node: ast.List | ast.Set, scope: Scope) -> Value:
    return elements(run, node.elts, scope)


def tuple_(run: Run, node: ast.Tuple, scope: Scope) -> Value:
    items = elements(run, node.elts, scope)
    items.kind = "tuple"
    return items


def dict_(run: Run, node: ast.Dict, scope: Scope) -> Value:
    table = Table({})
    for key, value in zip(node.keys, node.values, strict=True):
        found = expressions.evaluate(run, value, scope)
        if key is None:
            _spread(run, table, found)
            continue
        name = expressions.evaluate(run, key, scope)
        if isinstance(name, Constant):
            table.content[name.value] = found
        else:
            table.leaked = Unknown("a key of the dict is not known")
            run.escape(found, table.leaked)
    return table


def _spread(run: Run, table: Table, found: Value) -> None:
    if isinstance(found, Table):
        table.content.update(found.content)
        table.leaked = table.leaked or found.leaked
    else:
        table.leaked = Unknown("what is spread into the dict is not known")
        run.escape(found, table.leaked)


def comprehension_(run: Run, node: ast.ListComp | ast.GeneratorExp | ast.SetComp, scope: Scope) -> Value:
    inner = Scope(scope, scope.script, scope.owner)
    found = Items([], "generated")

    def add() -> int:
        value = expressions.evaluate(run, node.elt, inner)
        run.touch(found)
        found.content.append(value)
        return NORMAL

    _generate(run, node.generators, inner, add)
    return found


def mapped(run: Run, function: Value, values: Value, node: ast.AST, scope: Scope) -> Value:
    """`map(function, values)`."""
    found = Items([], "generated")

    def add(value: Value) -> int:
        made = modules.call_module(run, function, [value], node, scope)
        run.touch(found)
        found.content.append(made)
        return NORMAL

    iteration.each(run, iterated(run, values, node, scope), add, lambda name: False)
    return found


def dict_comprehension_(run: Run, node: ast.DictComp, scope: Scope) -> Value:
    inner = Scope(scope, scope.script, scope.owner)
    table = Table({})

    def add() -> int:
        key, value = expressions.evaluate(run, node.key, inner), expressions.evaluate(run, node.value, inner)
        if isinstance(key, Constant) and subscripts.hashable(key.value):
            run.touch(table)
            table.content[key.value] = value
        else:
            table.leaked = Unknown("a key of the dict is not known")
            run.touch(table)
            table.content[id(node)] = join([value, table.content.get(id(node), value)])
        return NORMAL

    _generate(run, node.generators, inner, add)
    return table


def _generate(run: Run, generators: list[ast.comprehension], inner: Scope, add: Callable[[], int]) -> None:
    def level(index: int) -> int:
        if index == len(generators):
            return add()
        generator = generators[index]
        items = iterated(run, expressions.evaluate(run, generator.iter, inner), generator.iter, inner)

        def body(value: Value) -> int:
            targets.bind(run, generator.target, value, inner)
            tests = [truth(expressions.evaluate(run, test, inner)) for test in generator.ifs]
            if False in tests:
                return NORMAL
            if None in tests:
                return run.fork([lambda: level(index + 1), lambda: NORMAL])
            return level(index + 1)

        return iteration.each(run, items, body, lambda name: False)

    level(0)


def extend(run: Run, items: Items, more: Items) -> None:
    """Add the elements of one list to another."""
    run.touch(items)
    items.content = compressed([*items.content, *more.content])
    items.leaked = items.leaked or more.leaked
    if items.leaked is not None:
        for part in flat(more.content):
            run.escape(part, items.leaked)
