"""What must hold of an edited text before it is written."""

from __future__ import annotations

import ast

from normfix.errors import Refused
from normfix.fixes.source import parse


class Broken(Exception):
    """An edit that did not do what it was meant to: the file stays as it was, and the run exits with 2."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def check_tree(intended: ast.Module, text: str) -> None:
    """The text parses, and gives exactly the old tree with the intended changes. Raises `Broken`."""
    try:
        tree = parse(text)
    except Refused as refused:
        raise Broken(f"after the fix {refused.reason}") from refused
    different = difference(intended, tree)
    if different is not None:
        raise Broken(f"the fix would change more than it names, at line {getattr(different, 'lineno', 1)}")


def difference(left: ast.AST, right: ast.AST) -> ast.AST | None:
    """Where two trees differ, positions aside: the last node of the right one before that; None where they agree.

    Without recursion: a sum of 600 terms is 600 nodes deep.
    """
    stack: list[tuple[object, object, ast.AST]] = [(left, right, right)]
    while stack:
        one, other, near = stack.pop()
        if type(one) is not type(other):
            return near
        if isinstance(one, ast.AST):
            assert isinstance(other, ast.AST)
            near = other if hasattr(other, "lineno") else near
            stack += [(getattr(one, name, None), getattr(other, name, None), near) for name in one._fields]
        elif isinstance(one, list):
            assert isinstance(other, list)
            if len(one) != len(other):
                return near
            stack += [(a, b, near) for a, b in zip(one, other, strict=True)]
        elif one != other and repr(one) != repr(other):
            return near
    return None
