"""What the classes of a file hold and inherit: their methods, their attributes, their bases."""

from __future__ import annotations

import ast

from normfix.readers.interpreter.scopes import lookup
from normfix.readers.interpreter.values import Choice, Class, Dotted, Member, Scope
from normfix.script import FUNCTIONS


def member(home: Class, name: str) -> Member | None:
    """A method, or the expression of an attribute, in the body of one class; the last one counts."""
    if home.members is None:
        home.members = _members(home.node)
    return home.members.get(name)


def _members(node: ast.ClassDef) -> dict[str, Member]:
    found: dict[str, Member] = {}
    for statement in node.body:
        if isinstance(statement, FUNCTIONS):
            found[statement.name] = statement
        elif isinstance(statement, ast.Assign):
            found.update({target.id: statement.value for target in statement.targets if isinstance(target, ast.Name)})
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            found[statement.target.id] = statement.value
    return found


def lineage(cls: Class) -> list[Class]:
    """A class and its bases that are in the file, nearest first."""
    if cls.lineage is None or cls.scope.parent is not None:
        cls.lineage = _lineage(cls)
    return cls.lineage


def _lineage(cls: Class) -> list[Class]:
    found: list[Class] = []
    waiting = [cls]
    while waiting and len(found) < 12:
        one = waiting.pop(0)
        if one not in found:
            found.append(one)
            waiting += [base for base in (lookup(one.scope, name) for name in _names(one)) if isinstance(base, Class)]
    return found


def _names(cls: Class) -> list[str]:
    return [base.id for base in cls.node.bases if isinstance(base, ast.Name)]


def bases(cls: Class) -> list[str]:
    """The dotted names of the bases that come from elsewhere, of a class and its bases in the file."""
    found: list[str] = []
    for one in lineage(cls):
        for base in one.node.bases:
            node = base.value if isinstance(base, ast.Subscript) else base
            if isinstance(node, ast.Name) and isinstance(lookup(one.scope, node.id), Class):
                continue
            found.append(_dotted(node, one.scope))
    return found


def _dotted(node: ast.expr, scope: Scope) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return "?"
    root = lookup(scope, node.id)
    if isinstance(root, Choice):
        root = next((option for option in root.options if isinstance(option, Dotted)), root)
    return ".".join([root.name if isinstance(root, Dotted) else node.id, *reversed(parts)])
