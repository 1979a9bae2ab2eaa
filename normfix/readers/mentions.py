"""What the text of a definition mentions: words, and the imported names that stand where code runs."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection

from normfix.readers.naming import without_comments
from normfix.script import FUNCTIONS, Script, children, lines_of

_WORDS = re.compile(r"\w+")
_APART = "".join(chr(code) if f"_{chr(code)}".isidentifier() else " " for code in range(128))
"""Between words, spaces only."""


def silenced(script: Script) -> list[str]:
    """The lines of a source; those with a comment, or a string whose value nobody takes, and nothing else are empty."""
    lines = without_comments(script.lines)
    for node in script.of_type(ast.Expr):
        value = node.value
        if isinstance(value, ast.Constant) and isinstance(value.value, str) and node.end_lineno is not None:
            before = lines[node.lineno - 1].encode()[: node.col_offset]
            after = lines[node.end_lineno - 1].encode()[node.end_col_offset :]
            if not before.strip() and not after.strip():
                lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return lines


def words_in(text: str) -> frozenset[str]:
    """The words in a text; the table halves the time that a pattern takes."""
    return frozenset(text.translate(_APART).split() if text.isascii() else _WORDS.findall(text))


def uses(node: ast.stmt, text: str, script: Script, names: Collection[str]) -> set[str]:
    """The dotted names that stand, with these at their head, where code runs: not as a base, in an annotation."""
    lines = enumerate(lines_of(text), node.lineno)
    near = {number for number, line in lines if any(name in line for name in names)}
    found: set[str] = set()
    todo: list[ast.AST] = [node]
    while todo:
        one = todo.pop()
        first = getattr(one, "lineno", None)
        if first is not None and near.isdisjoint(range(first, one.end_lineno + 1)):  # type: ignore[attr-defined]
            continue  # what has a first line has a last one
        if isinstance(one, (ast.Attribute, ast.Name)) and root(one) in names:
            found.add(script.resolve(one))
        silent = _silent(one)
        todo += [part for part in children(one) if part not in silent] if silent else children(one)
    return found


def root(node: ast.AST) -> str:
    """The first part of a dotted name."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _silent(node: ast.AST) -> list[ast.AST]:
    """The parts of a node that are no code to be followed."""
    if isinstance(node, ast.ClassDef):
        return [*node.bases, *node.decorator_list]
    if isinstance(node, FUNCTIONS):
        return [*node.decorator_list, *([node.returns] if node.returns else [])]
    if isinstance(node, (ast.arg, ast.AnnAssign)) and node.annotation is not None:
        return [node.annotation]
    return []
