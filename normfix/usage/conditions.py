"""Under which tests a piece of code runs, and which two pieces never run in one pass."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from normfix.script import Script, walk
from normfix.usage.steps import Scope, dotted, position, scope_of

OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.NotEq: ast.Eq,
    ast.IsNot: ast.Is,
    ast.NotIn: ast.In,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
}
"""Comparisons, and those that hold just where they do not."""


def exclusive(script: Script, one: ast.AST, other: ast.AST) -> bool:
    """Do the two never run in one pass: in different branches of one `if`, or under tests that contradict each other.

    `rank == -1` contradicts `rank != -1` and `rank == 0`, where `rank` keeps its value.
    """
    arms = {branch: _arm(script, one, branch) for branch in script.ancestors(one, ast.If)}
    if any(branch in arms and arms[branch] != _arm(script, other, branch) for branch in _branches(script, other)):
        return True
    first = list(_assumed(script, one))
    return bool(first) and any(
        _contradict(*fact, *opposed) and _keeps_value(scope_of(script, one), fact[0], one, other)
        for opposed in _assumed(script, other)
        for fact in first
    )


def opposed(script: Script, one: ast.AST, other: ast.AST) -> bool:
    """Do the two stand under tests that contradict each other, as long as what they look at stays the same."""
    facts = list(_assumed(script, one))
    return any(_contradict(*fact, *against) for against in _assumed(script, other) for fact in facts)


def _branches(script: Script, node: ast.AST) -> Iterator[ast.If]:
    return script.ancestors(node, ast.If)


def _arm(script: Script, node: ast.AST, branch: ast.If) -> str:
    child, parent = node, script.parents.get(node)
    while parent is not None and parent is not branch:
        child, parent = parent, script.parents.get(parent)
    return "else" if child in branch.orelse else "body" if child in branch.body else "test"


def _assumed(script: Script, node: ast.AST) -> Iterator[tuple[ast.expr, bool]]:
    """The tests that hold (True), or do not, wherever a node is executed."""
    for branch in _branches(script, node):
        arm = _arm(script, node, branch)
        if arm != "test":
            yield from _parts(branch.test, arm == "body")


def _parts(test: ast.expr, holds: bool) -> Iterator[tuple[ast.expr, bool]]:
    """What follows from a test: `a and b` holds where both do, `a or b` does not where neither does."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        yield from _parts(test.operand, not holds)
    elif isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) == holds:
        for part in test.values:
            yield from _parts(part, holds)
    elif not any(isinstance(one, ast.Call) for one in walk(test)):
        yield test, holds


def _contradict(one: ast.expr, holds: bool, other: ast.expr, other_holds: bool) -> bool:
    (subject, value, holds), (about, given, other_holds) = _plain(one, holds), _plain(other, other_holds)
    if subject != about:
        return False
    return holds != other_holds if value == given else holds and other_holds and None not in (value, given)


def _plain(test: ast.expr, holds: bool) -> tuple[str, str | None, bool]:
    """A test as text, with the constant that its subject is compared with by `==` apart."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return ast.dump(test), None, holds
    kind, right = type(test.ops[0]), test.comparators[0]
    holds, kind = (not holds, OPPOSITES[kind]) if kind in OPPOSITES else (holds, kind)
    subject = f"{kind.__name__} {ast.dump(test.left)}"
    if kind is ast.Eq and _is_constant(right):
        return subject, ast.dump(right), holds
    return f"{subject} {ast.dump(right)}", None, holds


def _is_constant(node: ast.expr) -> bool:
    return isinstance(node.operand if isinstance(node, ast.UnaryOp) else node, ast.Constant)


def _keeps_value(scope: Scope, test: ast.expr, one: ast.AST, other: ast.AST) -> bool:
    """Has nothing that a test looks at been bound again by the time that both pieces have run."""
    first = min(position(one), position(other))
    for node in (part for part in walk(test) if isinstance(part, ast.Name | ast.Attribute)):
        values = scope.bound.get(dotted(node), [])
        if len(values) > 1 or any(value is None or position(value) > first for value in values):
            return False
    return True
