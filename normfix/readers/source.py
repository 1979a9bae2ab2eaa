"""A parsed source file -> one layer graph for each class, function and top level that builds layers.

Nothing is imported or executed: the interpreter beside this file follows values through the syntax tree.
"""

from __future__ import annotations

import ast

from normfix.graph import LayerGraph
from normfix.script import FUNCTIONS, Script

_LIBRARIES = ("torch", "timm", "torchvision")
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def graphs(script: Script) -> list[LayerGraph]:
    """The layer graphs of a file; none where it builds no layers or names no norm.

    Blocks that it imports from files beside it are found through `script.sibling`.
    """
    libraries = {dotted.partition(".")[0] for dotted in script.imports.values()}
    if libraries.isdisjoint(_LIBRARIES) or "norm" not in script.text.lower():
        return []
    from normfix.readers.interpreter.entries import read_block, read_class
    from normfix.readers.interpreter.scopes import module_scope
    from normfix.readers.interpreter.values import Class, Function

    scope = module_scope(script)
    found: list[LayerGraph] = []
    for node in _relevant(script):
        if isinstance(node, ast.ClassDef):
            found.append(read_class(Class(node, scope)))
        elif _builds(node, script):
            found.append(read_block(node.name, node.body, scope, Function(node, scope)))
    statements = [node for node in script.tree.body if not isinstance(node, (*FUNCTIONS, ast.ClassDef))]
    if any(_builds(statement, script) for statement in statements):
        found.append(read_block("the top level", statements, scope))
    return [graph for graph in found if graph.layers or graph.calls]


def _builds(block: ast.stmt, script: Script) -> bool:
    """Does this code itself construct layers of a library."""
    return any(
        isinstance(node, ast.Call) and script.resolve(node.func).startswith(("torch.nn.", "timm.", "torchvision.ops."))
        for node in ast.walk(block)
    )


def _relevant(script: Script) -> list[Definition]:
    """Top-level classes and functions that have to do with norms: they name one, or one that does
    uses them, or they use one that does."""
    definitions = [node for node in script.tree.body if isinstance(node, (ast.ClassDef, *FUNCTIONS))]
    names = {node.name: _words(node) for node in definitions}
    found = {
        name for name, words in names.items() if any("norm" in script.imports.get(word, word).lower() for word in words)
    }
    while True:
        more = {name for name, words in names.items() if words & found}
        if more <= found:
            break
        found |= more
    waiting = list(found)
    while waiting:
        for word in names[waiting.pop()]:
            if word in names and word not in found:
                found.add(word)
                waiting.append(word)
    return [node for node in definitions if node.name in found]


def _words(definition: Definition) -> set[str]:
    words = {definition.name}
    for node in ast.walk(definition):
        if isinstance(node, ast.Name):
            words.add(node.id)
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            words.update(alias.name for alias in node.names)
    return words
