"""Operators: arithmetic on what is known, operations on tensors, comparisons, `and` and `or`."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Sequence

from normfix.graph import Call, Unknown
from normfix.readers.interpreter import expressions
from normfix.readers.interpreter.forking import NORMAL
from normfix.readers.interpreter.joining import compressed, join, tensors
from normfix.readers.interpreter.kinds import OPERATORS
from normfix.readers.interpreter.merging import is_none, truth
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import Choice, Constant, Items, Repeat, Scope, Value

_ARITHMETIC: dict[type[ast.operator], Callable[..., object]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip


_COMPARISONS: dict[type[ast.cmpop], Callable[..., object]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}  # fmt: skip


_BIGGEST = 1 << 40
_UNREAD = Unknown("it is a computed string")


def binary(run: Run, node: ast.BinOp, scope: Scope) -> Value:
    """`left + right`."""
    left = expressions.evaluate(run, node.left, scope)
    return operate(run, node.op, left, expressions.evaluate(run, node.right, scope), node, scope)


def operate(run: Run, op: ast.operator, left: Value, right: Value, node: ast.AST, scope: Scope) -> Value:
    """The result of a binary operator."""
    if any(True for value in (left, right) for _ in tensors(value)):
        return _tensor_operation(run, OPERATORS[type(op).__name__], [left, right], node, scope)
    if isinstance(left, Constant) and isinstance(right, Constant):
        return _arithmetic(op, left.value, right.value)
    if isinstance(op, ast.Mod) and isinstance(left, Constant) and isinstance(right, Items):
        parts = [one.value for one in right.plain() or () if isinstance(one, Constant)]
        return _arithmetic(op, left.value, tuple(parts) if len(parts) == len(right.content) else None)
    if isinstance(left, Items) and isinstance(right, Items) and isinstance(op, ast.Add):
        added = Items(compressed([*left.content, *right.content]), left.kind)
        added.leaked = left.leaked or right.leaked
        return added
    if isinstance(op, ast.Mult):
        for one, other in ((left, right), (right, left)):
            if isinstance(one, Items):
                count = other.value if isinstance(other, Constant) else None
                if isinstance(count, int) and 0 <= count * len(one.content) <= 64:
                    return Items(one.content * count, one.kind)
                return Items([Repeat(one.content)], one.kind)
    return next((value for value in (left, right) if isinstance(value, Unknown)), Unknown("it is not a constant"))


def _arithmetic(op: ast.operator, left: object, right: object) -> Value:
    compute = _ARITHMETIC.get(type(op))
    numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
    if isinstance(op, ast.Pow) and isinstance(left, (int, float)) and isinstance(right, (int, float)):
        compute = operator.pow if abs(left) < 1024 and abs(right) < 16 else None
    if isinstance(op, ast.Mod) and isinstance(left, str):
        return _filled(left, right)
    if compute is None or not (numbers or (isinstance(left, str) and isinstance(right, str) and len(left) < 200)):
        return Unknown("it is not plain arithmetic")
    try:
        value = compute(left, right)
    except (ArithmeticError, TypeError, ValueError):
        return Unknown("its arithmetic fails")
    if isinstance(value, complex) or (isinstance(value, (int, float)) and abs(value) > _BIGGEST):
        return Unknown("its value is out of range")
    return Constant(value)


def _filled(text: str, value: object) -> Value:
    """`"BatchNorm%dd" % 2`."""
    values = value if isinstance(value, tuple) else (value,)
    return formatted(re.sub("%[sdi]", "{}", text), values) if "{" not in text and "%%" not in text else _UNREAD


def formatted(text: str, values: Sequence[object]) -> Value:
    """A text with its fields, which hold nothing but a place, filled in."""
    plain = all(isinstance(one, (int, str)) for one in values)
    if not plain or re.sub("{[0-9]?}", "", text).strip("{}") != re.sub("{[0-9]?}", "", text):
        return _UNREAD
    try:
        return Constant(text.format(*values))
    except (IndexError, ValueError):
        return _UNREAD


def _tensor_operation(run: Run, kind: str, values: Sequence[Value], node: ast.AST, scope: Scope) -> Call:
    inputs: list[Call | Unknown] = []
    for value in values:
        one = run.tensor(value)
        if one is not None:
            inputs.append(one)
        elif not isinstance(value, Constant):
            inputs += list(tensors(value)) or [Unknown("it is not known to be a tensor")]
    return run.operation(kind, inputs, node, scope)


def unary(run: Run, node: ast.UnaryOp, scope: Scope) -> Value:
    """`not value`, `-value`."""
    value = expressions.evaluate(run, node.operand, scope)
    if isinstance(node.op, ast.Not):
        known = truth(value)
        return Constant(not known) if known is not None else Unknown("it is the negation of something unknown")
    if isinstance(value, (Call, Choice)) and next(tensors(value), None) is not None:
        return _tensor_operation(run, OPERATORS[type(node.op).__name__], [value], node, scope)
    if isinstance(value, Constant) and isinstance(value.value, (int, float)):
        if isinstance(node.op, ast.USub):
            return Constant(-value.value)
        if isinstance(node.op, ast.UAdd):
            return value
    return value if isinstance(value, Unknown) else Unknown("it is not a constant")


def compare(run: Run, node: ast.Compare, scope: Scope) -> Value:
    """`left < right`."""
    values = [expressions.evaluate(run, part, scope) for part in (node.left, *node.comparators)]
    if len(values) == 2:
        return _comparison(run, node, values[0], values[1], scope)
    if any(next(tensors(value), None) is not None for value in values):
        return _tensor_operation(run, "lt", values, node, scope)
    return Unknown("it is a chain of comparisons")


def _comparison(run: Run, node: ast.Compare, left: Value, right: Value, scope: Scope) -> Value:
    op = node.ops[0]
    if isinstance(op, (ast.Is, ast.IsNot)):
        if isinstance(right, Constant) and right.value is None and (known := is_none(left)) is not None:
            return Constant(known == isinstance(op, ast.Is))
        return Unknown("it is not known to be None")
    if isinstance(op, (ast.In, ast.NotIn)):
        return _membership(left, right, isinstance(op, ast.In))
    if isinstance(left, Constant) and isinstance(right, Constant):
        try:
            return Constant(bool(_COMPARISONS[type(op)](left.value, right.value)))
        except TypeError:
            return Unknown("its comparison fails")
    if any(isinstance(value, Call) for value in (left, right)):
        return _tensor_operation(run, OPERATORS[type(op).__name__], [left, right], node, scope)
    return Unknown("it compares what is not known")


def _membership(left: Value, right: Value, inside: bool) -> Value:
    plain = right.plain() if isinstance(right, Items) else None
    if isinstance(left, Constant) and plain is not None and all(isinstance(one, Constant) for one in plain):
        found = any(isinstance(one, Constant) and one.value == left.value for one in plain)
        return Constant(found == inside)
    return Unknown("it compares what is not known")


def boolean(run: Run, node: ast.BoolOp, scope: Scope) -> Value:
    """`a and b`, `a or b`: a later operand runs only where the earlier ones let it."""
    stop = isinstance(node.op, ast.Or)
    found: list[Value] = []

    def rest(index: int) -> int:
        for place in range(index, len(node.values)):
            value = expressions.evaluate(run, node.values[place], scope)
            known = truth(value)
            last = place == len(node.values) - 1
            if known is None and not last:
                found.append(value)
                return run.fork([lambda place=place: rest(place + 1), lambda: NORMAL])  # type: ignore[misc]
            if last or known is stop:
                found.append(value)
                break
        return NORMAL

    rest(0)
    return join(found)
