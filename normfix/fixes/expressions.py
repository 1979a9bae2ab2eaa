"""Edits of whole expressions: completed to a call, replaced, or wrapped."""

from __future__ import annotations

import ast

from normfix.findings import CompleteCall, ReplaceExpression, WrapExpression
from normfix.fixes.plan import Edit, Plan, smallest
from normfix.fixes.source import Refused, Source, expression

_ATOMS = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Constant, ast.List, ast.Dict, ast.ListComp)
_INNER = "__normfix_inner__"


def complete_call(source: Source, remedy: CompleteCall) -> Plan:
    """`model.eval` becomes `model.eval()`."""
    node = source.find(remedy.site, ast.Attribute)
    end = source.span(node)[1]

    def intend() -> None:
        source.replace(node, ast.Call(node, [], []))

    return Plan((Edit(end, end, "()"),), intend)


def replace_expression(source: Source, remedy: ReplaceExpression) -> Plan:
    """Other text for an expression; in parentheses where it would bind otherwise."""
    node = source.find(remedy.site, ast.expr)
    new = expression(remedy.text)
    start, end = source.span(node)
    text = remedy.text if isinstance(new, _ATOMS) or _stands_alone(source, node) else f"({remedy.text})"
    return Plan((smallest(source.text[start:end], text, start),), lambda: source.replace(node, new))


def wrap_expression(source: Source, remedy: WrapExpression) -> Plan:
    """Text around an expression, which stays as it was written."""
    node = source.find(remedy.site, ast.expr)
    start, end = source.span(node)
    outer = expression(f"{remedy.before}{_INNER}{remedy.after}")

    def intend() -> None:
        source.replace(node, outer)
        for holder in ast.walk(outer):
            for field, value in ast.iter_fields(holder):
                if _is_inner(value):
                    setattr(holder, field, node)
                elif isinstance(value, list):
                    value[:] = [node if _is_inner(item) else item for item in value]

    if _is_inner(outer):
        raise Refused("there is nothing to wrap it in")
    return Plan((Edit(start, start, remedy.before), Edit(end, end, remedy.after)), intend)


def _is_inner(value: object) -> bool:
    return isinstance(value, ast.Name) and value.id == _INNER


def _stands_alone(source: Source, node: ast.expr) -> bool:
    """Is it a whole right-hand side, argument, or statement, so that nothing beside it can bind tighter."""
    parent, field, _ = source.places[node]
    return isinstance(parent, (ast.stmt, ast.keyword)) or (isinstance(parent, ast.Call) and field == "args")
