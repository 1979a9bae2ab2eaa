"""A parsed source file -> one layer graph for each class, function and top level that builds layers.

Nothing is imported or executed: the interpreter beside this file follows values through the syntax tree.
"""

from __future__ import annotations

import ast
import re

from normfix.graph import LayerGraph
from normfix.script import FUNCTIONS, Script, walk

_LIBRARIES = ("torch", "timm", "torchvision")
_NEWLINES = re.compile("\r\n|\r|\n")
"""What ends a line for the parser."""
_WORDS = re.compile(r"\w+")
_NORM = re.compile("norm(?!al)", re.IGNORECASE)
"""In "BatchNorm2d" and "norm_layer", but not in "normalize" and "kaiming_normal_"."""
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def graphs(script: Script) -> list[LayerGraph]:
    """The layer graphs of a file; none where it builds no layers or names no norm.

    Blocks that it imports from files beside it are found through `script.sibling`.
    """
    libraries = {dotted.partition(".")[0] for dotted in script.imports.values()}
    if libraries.isdisjoint(_LIBRARIES) or "norm" not in script.text.lower():
        return []
    from normfix.readers.interpreter.entries import read_block, read_class
    from normfix.readers.interpreter.memo import Memo
    from normfix.readers.interpreter.values import Class, Function

    memo = Memo()
    scope = memo.module_of(script)
    found: list[LayerGraph] = []
    relevant = _relevant(script)
    memo.read.update(relevant)
    memo.naming.update(node for node, names_norm in relevant.items() if names_norm)
    for node in relevant:
        if isinstance(node, ast.ClassDef):
            if not _is_module(node) and not _builds(node, script):
                continue
            found.append(read_class(Class(node, memo.scope_of(node, script)), memo))
        elif _builds(node, script):
            found.append(read_block(node.name, node.body, scope, memo, Function(node, scope)))
    statements = [node for node in script.tree.body if not isinstance(node, (*FUNCTIONS, ast.ClassDef))]
    if any(_builds(statement, script) for statement in statements):
        found.append(read_block("the top level", statements, scope, memo))
    return [graph for graph in found if graph.layers or graph.calls]


def _builds(block: ast.stmt, script: Script) -> bool:
    """Does this code itself construct layers of a library."""
    return any(
        isinstance(node, ast.Call) and script.resolve(node.func).startswith(("torch.nn.", "timm.", "torchvision.ops."))
        for node in walk(block)
    )


def _is_module(node: ast.ClassDef) -> bool:
    """May this be a class of layers: it has bases, and a forward or a constructor."""
    methods = {statement.name for statement in node.body if isinstance(statement, FUNCTIONS)}
    return bool(node.bases) and not methods.isdisjoint({"forward", "__init__"})


def _relevant(script: Script) -> dict[Definition, bool]:
    """Top-level classes and functions that name a norm (True), and those that use one of them (False).

    A block of the file is followed from the class that uses it, one level deep: further away nothing is decided.
    """
    definitions = _definitions(script)
    lines = _NEWLINES.split(script.text)
    words = {node: set(_WORDS.findall("\n".join(_lines(node, lines)))) for node in definitions}
    norms = {alias for alias, dotted in script.imports.items() if _names_norm(dotted)}
    naming = {node: bool(words[node] & norms) or any(_names_norm(word) for word in words[node]) for node in definitions}
    direct = {node.name for node in definitions if naming[node]}
    return {node: naming[node] for node in definitions if naming[node] or words[node] & direct}


def _definitions(script: Script) -> list[Definition]:
    """Functions at the top level, and classes wherever they stand but in another class."""
    inside = (ast.ClassDef, *FUNCTIONS)
    plain = [node for node in script.of_type(ast.FunctionDef) if script.enclosing(node, inside) is None]
    asynchronous = [node for node in script.of_type(ast.AsyncFunctionDef) if script.enclosing(node, inside) is None]
    classes = [node for node in script.of_type(ast.ClassDef) if script.enclosing(node, ast.ClassDef) is None]
    found: list[Definition] = [*plain, *asynchronous, *classes]
    return sorted(found, key=lambda node: node.lineno)


def _names_norm(word: str) -> bool:
    return _NORM.search(word) is not None


def _lines(node: Definition, lines: list[str]) -> list[str]:
    return lines[node.lineno - 1 : node.end_lineno]
