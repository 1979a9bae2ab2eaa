"""Carries one remedy out on a text, checked as a real run checks it."""

import ast
from collections.abc import Callable

from normfix.findings import Remedy
from normfix.fixes.edits import edited
from normfix.fixes.remedies import fix_for
from normfix.fixes.source import Source
from normfix.fixes.verify import check_tree
from normfix.graph import Site
from normfix.readers.scripts import read


def site_of(text: str, kind: type[ast.AST], index: int = 0) -> Site:
    """The site of a node as the linter would give it: the one of this type at `index`, in the order of the text."""
    script = read(text, "a.py")
    nodes = sorted(script.of_type(kind), key=lambda node: (node.lineno, node.col_offset, -node.end_col_offset))
    return script.site(nodes[index])


def carried_out(text: str, remedy: Remedy) -> str:
    """The text with the remedy carried out."""
    source = Source(text)
    made = fix_for(source, remedy)
    new = edited(text, made.edits)
    made.intend()
    check_tree(source.tree, new)
    return new


def carried_out_at(
    text: str, remedy_of: Callable[[Site], Remedy], kind: type[ast.AST] = ast.Call, index: int = 0
) -> str:
    """The text with the remedy for the node of this type carried out."""
    return carried_out(text, remedy_of(site_of(text, kind, index)))
