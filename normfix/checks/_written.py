"""Numbers that are not known, told apart by how they are written: `width` and `2 * width`."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from normfix.engine import Facts
from normfix.graph import Layer, Origin
from normfix.script import Function, Script, expression, walk
from normfix.usage.steps import LOOPS, dotted, functions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    N = TypeVar("N", bound=ast.stmt)
STATEMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Return)
Polynomial = dict[tuple[str, ...], float]
"""A sum of products of names: {("depth", "width"): 2, (): 1} is `2 * depth * width + 1`."""


def surely_differ(first: Layer, name: str, second: Layer, other: str, facts: Facts) -> tuple[str, str] | None:
    """The texts of two hyper-parameters that cannot be equal, whatever the names in them stand for; else None.

    One is a multiple of the other, or larger by a number: widths are positive. `first` has to feed `second`, and both
    to be constructed in one place, where a name stands for one thing. Raises `Undecided`.
    """
    one, two = first.argument(name), second.argument(other)
    if one is None or two is None or not one.text or not two.text or facts.script is None:
        return None
    if "".join(one.text.split()) == "".join(two.text.split()):
        return None
    left, right = _polynomial(expression(one.text)), _polynomial(expression(two.text))
    if left is None or right is None or not _differ(left, right):
        return None
    return (one.text, two.text) if _in_one_place(first, second, {*_names(left), *_names(right)}, facts) else None


def _differ(left: Polynomial, right: Polynomial) -> bool:
    """Is one several times the other, or larger by a number."""
    if left.keys() != right.keys():
        rest = _sum(left, right, -1)
        return list(rest) == [()] and all(value == int(value) for value in (*left.values(), *right.values()))
    ratios = [max(left[key] / right[key], right[key] / left[key]) for key in left]
    upward = {left[key] > right[key] for key in left}
    return len(upward) == 1 and min(ratios) > 1.5 and max(abs(one - round(ratios[0])) for one in ratios) < 1e-9


def _names(one: Polynomial) -> set[str]:
    return {name for key in one for name in key}


def _polynomial(node: ast.expr) -> Polynomial | None:
    """A sum of products of names; None for other expressions. A floor division counts as a division."""
    if isinstance(node, ast.Constant):
        return {(): float(node.value)} if type(node.value) is int and node.value else None
    if dotted(node):
        return {(dotted(node),): 1.0}
    if not isinstance(node, ast.BinOp):
        return None
    left, right = _polynomial(node.left), _polynomial(node.right)
    if left is None or right is None:
        return None
    if isinstance(node.op, ast.Add | ast.Sub):
        return _sum(left, right, 1 if isinstance(node.op, ast.Add) else -1)
    if isinstance(node.op, ast.Mult):
        return _product(left, right)
    divides = isinstance(node.op, ast.FloorDiv) and list(right) == [()] and len(left) == 1
    return _product(left, {(): 1 / right[()]}) if divides else None


def _sum(left: Polynomial, right: Polynomial, sign: int) -> Polynomial:
    keys = {**left, **right}
    every = {key: left.get(key, 0.0) + sign * right.get(key, 0.0) for key in keys}
    return {key: value for key, value in every.items() if value}


def _product(left: Polynomial, right: Polynomial) -> Polynomial:
    found: Polynomial = {}
    for one, many in left.items():
        for two, times in right.items():
            found = _sum(found, {tuple(sorted(one + two)): many * times}, 1)
    return found


def _in_one_place(first: Layer, second: Layer, names: set[str], facts: Facts) -> bool:
    """Do the names stand for the same where both layers are constructed, the first one before the second.

    So it is within one statement; and in one constructor where none of them is bound in between.
    """
    script, start, end = facts.script, first.site.origin, second.site.origin
    if script is None or start is None or end is None or not _are_own(first, second, facts):
        return False
    if (start.line, start.column) >= (end.line, end.column) or start.cell is not None:
        return False
    statements = [one for kind in STATEMENTS for one in script.of_type(kind)]
    if (statement := _innermost(statements, start)) is not None and statement is _innermost(statements, end):
        return True
    every = functions(script)
    function = _innermost(every, start)
    if (
        function is None
        or function is not _innermost(every, end)
        or function.name not in ("__init__", facts.graph.name)
    ):
        return False
    loops = [one for one in walk(function) if isinstance(one, LOOPS)]
    return _innermost(loops, start) is _innermost(loops, end) and not any(
        _is_bound(script, function, name, start.line, end.line) for name in names
    )


def _are_own(first: Layer, second: Layer, facts: Facts) -> bool:
    """Are both written in the class that this graph is one of, not in a block that it holds twice, or a helper."""
    paths = {one.site.origin.path for one in (first, second) if one.site.origin is not None}
    own = first.owner == second.owner == facts.graph.name
    return own and not first.helper and not second.helper and paths == {facts.path}


def _innermost(nodes: Iterable[N], place: Origin) -> N | None:
    """The one that begins last of those whose lines hold a place."""
    around = [one for one in nodes if one.lineno <= place.line <= (one.end_lineno or 0)]
    return max(around, key=lambda one: one.lineno, default=None)


def _is_bound(script: Script, function: Function, name: str, first: int, last: int) -> bool:
    """Is a name, or what it is an attribute of, bound between two lines of a function, or by other methods."""
    parts = name.split(".")
    faces = {".".join(parts[: count + 1]) for count in range(len(parts))} - {"self"}
    nodes: list[ast.Name | ast.Attribute] = [*script.of_type(ast.Name), *script.of_type(ast.Attribute)]
    for node in nodes:
        inside = function.lineno <= node.lineno <= (function.end_lineno or 0)
        near = first <= node.lineno <= last or (not inside and isinstance(node, ast.Attribute))
        if near and isinstance(node.ctx, ast.Store) and dotted(node) in faces:
            return True
    return False
