"""Expressions -> values."""

from __future__ import annotations

import ast

from normfix.graph import Unknown
from normfix.readers.interpreter import attributes, branches, dispatch, displays, targets
from normfix.readers.interpreter.escaping import LARGEST, TooLarge
from normfix.readers.interpreter.forking import NORMAL
from normfix.readers.interpreter.joining import join
from normfix.readers.interpreter.merging import truth
from normfix.readers.interpreter.run import DEEPEST, Run
from normfix.readers.interpreter.scopes import lookup
from normfix.readers.interpreter.values import Constant, Function, Instance, Items, Scope, Value
from normfix.script import walk

_NAME, _CONSTANT = ast.Name, ast.Constant
"""Most of all expressions."""


def evaluate(run: Run, node: ast.expr, scope: Scope) -> Value:
    """What an expression stands for. Whatever is not understood is `Unknown`, and what goes into it escapes."""
    kind = type(node)
    if kind is _NAME:
        return lookup(scope, node.id)  # type: ignore[attr-defined]  # it is a name, as just tested
    if kind is _CONSTANT:
        return Constant(node.value)  # type: ignore[attr-defined]  # likewise
    run.steps += 1
    if run.steps > LARGEST:
        raise TooLarge
    handler = dispatch.expressions_by_type().get(kind)
    if handler is None or run.depth > DEEPEST:
        return lose(run, node, scope, "it is nested too deeply" if handler else "its syntax is not followed")
    run.depth += 1
    try:
        return handler(run, node, scope)
    finally:
        run.depth -= 1


def lose(run: Run, node: ast.AST, scope: Scope, reason: str) -> Unknown:
    """Give an expression or a block up: every value that it names escapes."""
    why = Unknown(reason)
    for part in walk(node):
        if isinstance(part, ast.Name):
            value = lookup(scope, part.id)
            if not isinstance(value, (Instance, Function)):
                run.escape(value, why)
        elif isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            owner = lookup(scope, part.value.id)
            if isinstance(owner, Instance):
                for found in attributes.anything(owner, part.attr):
                    run.escape(found, why)
    return why


def attribute(run: Run, node: ast.Attribute, scope: Scope) -> Value:
    return attributes.read(run, evaluate(run, node.value, scope), node.attr, node, scope)


def conditional(run: Run, node: ast.IfExp, scope: Scope) -> Value:
    known = truth(evaluate(run, node.test, scope))
    if known is not None:
        return evaluate(run, node.body if known else node.orelse, scope)
    found: list[Value] = []

    def side(expression: ast.expr, taken: bool) -> int:
        branches.narrow(run, node.test, taken, scope)
        found.append(evaluate(run, expression, scope))
        return NORMAL

    run.fork([lambda: side(node.body, True), lambda: side(node.orelse, False)])
    return join(found)


def lambda_(run: Run, node: ast.Lambda, scope: Scope) -> Value:
    return Function(node, scope)


def formatted(run: Run, node: ast.JoinedStr, scope: Scope) -> Value:
    text = ""
    known = True
    for part in node.values:
        value = evaluate(run, part.value if isinstance(part, ast.FormattedValue) else part, scope)
        plain = isinstance(value, Constant) and isinstance(value.value, (str, int))
        known = known and plain and not (isinstance(part, ast.FormattedValue) and part.format_spec)
        text += str(value.value) if isinstance(value, Constant) else ""
    return Constant(text) if known else Unknown("it is a computed string")


def named(run: Run, node: ast.NamedExpr, scope: Scope) -> Value:
    value = evaluate(run, node.value, scope)
    targets.bind(run, node.target, value, scope)
    return value


def starred(run: Run, node: ast.Starred, scope: Scope) -> Value:
    return evaluate(run, node.value, scope)


def yielded(run: Run, node: ast.Yield | ast.YieldFrom | ast.Await, scope: Scope) -> Value:
    value = evaluate(run, node.value, scope) if node.value is not None else Constant(None)
    yields = _yields(scope) if not isinstance(node, ast.Await) else None
    if yields is None:
        run.escape(value, Unknown("it is yielded"))
    elif isinstance(node, ast.YieldFrom):
        displays.extend(run, yields, displays.iterated(run, value, node, scope))
    else:
        run.touch(yields)
        yields.content.append(value)
    return Unknown("it comes from outside")


def _yields(scope: Scope) -> Items | None:
    """What the generator around yields, where it is followed."""
    at: Scope | None = scope
    while at is not None and at.function is None:
        at = at.parent
    return at.yields if at is not None else None
