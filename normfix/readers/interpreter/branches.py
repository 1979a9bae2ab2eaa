"""Branches: which side is taken, and what that says about the values that were tested."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from normfix.readers.interpreter import expressions, statements
from normfix.readers.interpreter.forking import NORMAL
from normfix.readers.interpreter.joining import join
from normfix.readers.interpreter.merging import is_none, truth
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.scopes import lookup
from normfix.readers.interpreter.values import MISSING, Choice, Instance, Scope, Value

_JUMPS = (ast.Return, ast.Raise, ast.Continue, ast.Break)


def leaves(block: Sequence[ast.stmt]) -> bool:
    """Does this block always jump away from what follows it."""
    last = block[-1] if block else None
    while isinstance(last, ast.If) and last.orelse:
        if not leaves(last.body):
            return False
        last = last.orelse[-1]
    return isinstance(last, _JUMPS)


def if_(run: Run, statement: ast.If, scope: Scope) -> int:
    return branch(run, statement, scope, ())


def branch(run: Run, statement: ast.If, scope: Scope, rest: Sequence[ast.stmt]) -> int:
    """An `if`, with what follows it moved into the side that gets there."""
    known = truth(expressions.evaluate(run, statement.test, scope))

    def side(block: Sequence[ast.stmt], taken: bool | None) -> int:
        if taken is not None:
            narrow(run, statement.test, taken, scope)
        run.depth += 1
        try:
            flags = statements.execute(run, block, scope)
            if flags & NORMAL and rest:
                flags = (flags & ~NORMAL) | statements.execute(run, rest, scope)
        finally:
            run.depth -= 1
        return flags

    if known is not None:
        return side(statement.body if known else statement.orelse, None)
    return run.fork([lambda: side(statement.body, True), lambda: side(statement.orelse, False)])


def narrow(run: Run, test: ast.expr, taken: bool, scope: Scope) -> None:
    """Keep, of a value that the test looks at, what the side taken leaves possible."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        narrow(run, test.operand, not taken, scope)
    elif isinstance(test, ast.BoolOp):
        if taken == isinstance(test.op, ast.And):
            for part in test.values:
                narrow(run, part, taken, scope)
    elif isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], (ast.Is, ast.IsNot)):
        right = test.comparators[0]
        if isinstance(right, ast.Constant) and right.value is None:
            wanted = taken == isinstance(test.ops[0], ast.Is)
            _keep(run, test.left, scope, lambda value: is_none(value) is not (not wanted))
    elif isinstance(test, (ast.Name, ast.Attribute)):
        _keep(run, test, scope, lambda value: truth(value) is not (not taken))


def _keep(run: Run, node: ast.expr, scope: Scope, possible: Callable[[Value], bool]) -> None:
    box, name = place(node, scope)
    value = box.content.get(name) if box is not None else None
    if box is not None and isinstance(value, Choice):
        left = [option for option in value.options if option is not MISSING and possible(option)]
        if left and len(left) < len(value.options):
            run.assign(box, name, join(left))


def place(node: ast.expr, scope: Scope) -> tuple[Scope | Instance | None, str]:
    """The scope or object that holds a name or an attribute."""
    if isinstance(node, ast.Name):
        at: Scope | None = scope
        while at is not None and at.parent is not None:
            if node.id in at.content:
                return at, node.id
            at = at.parent
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        owner = lookup(scope, node.value.id)
        if isinstance(owner, Instance):
            return owner, node.attr
    return None, ""
