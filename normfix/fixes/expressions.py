"""Edits of whole expressions: completed to a call, replaced, or wrapped."""

from __future__ import annotations

import ast

from normfix.errors import Refused
from normfix.findings import CompleteCall, ReplaceCallee, ReplaceExpression, TransposeAround, WrapExpression
from normfix.fixes.edits import Edit, Fix, smallest
from normfix.fixes.source import Source, expression

_ATOMS = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Constant, ast.List, ast.Dict, ast.ListComp)
_INNER = "__normfix_inner__"


def complete_call(source: Source, remedy: CompleteCall) -> Fix:
    """`model.eval` becomes `model.eval()`."""
    node = source.find(remedy.site, ast.Attribute)
    end = source.span(node)[1]

    def intend() -> None:
        source.replace(node, ast.Call(node, [], []))

    return Fix((Edit(end, end, "()"),), intend)


def replace_expression(source: Source, remedy: ReplaceExpression) -> Fix:
    """Other text for an expression; in parentheses where it would bind otherwise."""
    node = source.find(remedy.site, ast.expr)
    new = expression(remedy.text)
    start, end = source.span(node)
    text = remedy.text if isinstance(new, _ATOMS) or _stands_alone(source, node) else f"({remedy.text})"
    return Fix((smallest(source.text[start:end], text, start),), lambda: source.replace(node, new))


def wrap_expression(source: Source, remedy: WrapExpression) -> Fix:
    """Text around an expression, which stays as it was written."""
    node = source.find(remedy.site, ast.expr)
    start, end = source.span(node)
    outer = expression(f"{remedy.before}{_INNER}{remedy.after}")

    def intend() -> None:
        source.replace(node, outer)
        _filled(outer, node)

    if _is_inner(outer):
        raise Refused("there is nothing to wrap it in")
    return Fix((Edit(start, start, remedy.before), Edit(end, end, remedy.after)), intend)


def replace_callee(source: Source, remedy: ReplaceCallee) -> Fix:
    """`nn.BatchNorm2d(8)` becomes `nn.BatchNorm1d(8)`."""
    callee = source.find(remedy.site, ast.Call).func
    if isinstance(callee, ast.Name) and remedy.name not in _imported(source):
        raise Refused(f"`{remedy.name}` is not imported here")
    old = callee.attr if isinstance(callee, ast.Attribute) else getattr(callee, "id", "")
    end = source.span(callee)[1]
    if not old or source.text[end - len(old) : end] != old:
        raise Refused("what is called has no plain name")

    def intend() -> None:
        if isinstance(callee, ast.Attribute):
            callee.attr = remedy.name
        else:
            source.replace(callee, ast.Name(remedy.name, ast.Load()))

    return Fix((Edit(end - len(old), end, remedy.name),), intend)


def transpose_around(source: Source, remedy: TransposeAround) -> Fix:
    """`norm(x)` becomes `norm(x.transpose(1, 2)).transpose(1, 2)`."""
    call = source.find(remedy.site, ast.Call)
    if len(call.args) != 1 or call.keywords or isinstance(call.args[0], (ast.Starred, ast.GeneratorExp)):
        raise Refused("it is not called with one tensor alone")
    argument, method = call.args[0], f".transpose({remedy.axes[0]}, {remedy.axes[1]})"
    inside = ("", method) if isinstance(argument, _ATOMS) else ("(", f"){method}")
    start, end = source.span(argument)
    last = source.span(call)[1]

    def intend() -> None:
        new = expression(f"{_INNER}{method}")
        call.args = [_filled(expression(f"{_INNER}{method}"), argument)]
        source.replace(call, _filled(new, call))

    return Fix((Edit(start, start, inside[0]), Edit(end, end, inside[1]), Edit(last, last, method)), intend)


def _imported(source: Source) -> set[str]:
    return {node.asname or node.name for node in ast.walk(source.tree) if isinstance(node, ast.alias)}


def _filled(outer: ast.expr, node: ast.expr) -> ast.expr:
    """The expression with the node where its placeholder stands."""
    for holder in ast.walk(outer):
        for field, value in ast.iter_fields(holder):
            if _is_inner(value):
                setattr(holder, field, node)
            elif isinstance(value, list):
                value[:] = [node if _is_inner(item) else item for item in value]
    return outer


def _is_inner(value: object) -> bool:
    return isinstance(value, ast.Name) and value.id == _INNER


def _stands_alone(source: Source, node: ast.expr) -> bool:
    """Is it a whole right-hand side, argument, or statement, so that nothing beside it can bind tighter."""
    parent, field, _ = source.places[node]
    return isinstance(parent, (ast.stmt, ast.keyword)) or (isinstance(parent, ast.Call) and field == "args")
