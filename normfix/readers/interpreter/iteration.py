"""Loops."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from normfix.graph import Unknown
from normfix.readers.interpreter import branches, displays, expressions, statements, targets
from normfix.readers.interpreter.forking import JUMP, NORMAL
from normfix.readers.interpreter.joining import flat, join
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import Constant, Fork, Instance, Items, Part, Repeat, Scope, Table, Value

UNROLLED = 8
"""A loop over this many known elements or fewer is run for each of them."""


def for_(run: Run, statement: ast.For | ast.AsyncFor, scope: Scope) -> int:
    items = displays.iterated(run, expressions.evaluate(run, statement.iter, scope), statement.iter, scope)

    def body(value: Value) -> int:
        targets.bind(run, statement.target, value, scope)
        return statements.execute(run, statement.body, scope)

    flags = each(run, items, body, run.rounds(statement).carries, lambda: _forget(run, statement, scope))
    after = statements.execute(run, statement.orelse, scope) if statement.orelse else NORMAL
    return (flags & JUMP) | after


def each(
    run: Run,
    items: Items,
    body: Callable[[Value], int],
    carried: Callable[[str], bool],
    forget: Callable[[], None] = lambda: None,
) -> int:
    """Run a loop's body over every element that a list may hold."""
    plain = items.plain()
    if plain is not None and len(plain) <= UNROLLED:
        flags = 0
        for value in plain:
            flags |= body(value)
        return flags | NORMAL
    if plain is None and items.leaked is None and _shallow(items.content):
        return _in_order(run, items.content, body, carried, forget)
    every = join(_any(items))

    def once() -> int:
        forget()
        return body(every)

    return run.repeat(once, carried)


def _shallow(parts: Sequence[Part]) -> bool:
    """Are there few enough parts to run the body over each."""
    count, stack = 0, list(parts)
    while stack and count <= 3 * UNROLLED:
        part = stack.pop()
        count += 1
        if isinstance(part, Fork):
            stack += [one for alternative in part.alternatives for one in alternative]
        elif isinstance(part, Repeat):
            stack += part.parts
    return count <= 3 * UNROLLED


def _any(items: Items) -> list[Value]:
    found = list(flat(items.content))
    return [*found, items.leaked] if items.leaked is not None else found


def _in_order(
    run: Run,
    parts: Sequence[Part],
    body: Callable[[Value], int],
    carried: Callable[[str], bool],
    forget: Callable[[], None],
) -> int:
    flags = 0
    for part in parts:
        if isinstance(part, Fork):
            flags |= run.fork(
                [
                    lambda alternative=alternative: _in_order(run, alternative, body, carried, forget) | NORMAL  # type: ignore[misc]
                    for alternative in part.alternatives
                ]
            )
        elif isinstance(part, Repeat):

            def once(inner: Sequence[Part] = part.parts) -> int:
                forget()
                return _in_order(run, inner, body, carried, forget)

            flags |= run.repeat(once, carried)
        else:
            flags |= body(part)
    return flags | NORMAL


def while_(run: Run, statement: ast.While, scope: Scope) -> int:
    def once() -> int:
        _forget(run, statement, scope)
        expressions.evaluate(run, statement.test, scope)
        return statements.execute(run, statement.body, scope)

    flags = run.repeat(once, run.rounds(statement).carries)
    after = statements.execute(run, statement.orelse, scope) if statement.orelse else NORMAL
    return (flags & JUMP) | after


def _forget(run: Run, statement: ast.For | ast.AsyncFor | ast.While, scope: Scope) -> None:
    """At the head of a loop, what the body assigns may come from the round before."""
    previous = Unknown("the round before may have changed it")
    for name in run.rounds(statement).assigned:
        value = scope.content.get(name)
        if value is None or isinstance(value, (Items, Table, Unknown)):
            if isinstance(value, Items) and value.kind == "tuple":
                run.assign(scope, name, previous)
        elif isinstance(value, Constant) and value.value is not None:
            run.assign(scope, name, previous)
        else:
            run.assign(scope, name, join([value, previous]))
    for node in run.rounds(statement).attributes:
        box, name = branches.place(node, scope)
        if isinstance(box, Instance) and name in box.content and not isinstance(box.content[name], (Items, Table)):
            run.assign(box, name, join([box.content[name], previous]))
