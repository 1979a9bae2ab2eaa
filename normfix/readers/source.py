"""A parsed source file -> one layer graph for each class, function and top level that builds layers.

Nothing is imported or executed: the interpreter beside this file follows values through the syntax tree.
"""

from __future__ import annotations

import ast

from normfix.graph import LayerGraph
from normfix.readers.brevity import adds_no_norm, is_fed
from normfix.readers.naming import says_norm
from normfix.readers.reaching import Definition, Reach, definitions, library_names
from normfix.script import FUNCTIONS, Script, walk


def graphs(script: Script, whole: bool = True) -> list[LayerGraph]:
    """The layer graphs of a file; none where it builds no layers or names no norm.

    Unless the `whole` of them is wanted, those are left out in which no rule can find anything.

    Blocks that it imports from files beside it are found through `script.sibling`.
    """
    if not library_names(script) or not says_norm(script.text):
        return []
    from normfix.readers.interpreter.entries import read_block, read_class
    from normfix.readers.interpreter.memo import Memo
    from normfix.readers.interpreter.values import Class, Function

    memo = Memo()
    found: list[LayerGraph] = []
    reach = Reach(script, definitions(script))
    relevant = _relevant(script, reach)
    memo.read.update(relevant)
    memo.naming.update(node for node, naming in relevant.items() if naming)
    worth = reach.worth_reading(relevant, memo.naming, whole)
    if not whole:
        memo.brief.update({node: is_fed(reach, node) for node in worth if adds_no_norm(reach, node)})
    for node in (one for one in relevant if one in worth):
        if isinstance(node, ast.ClassDef):
            if not _is_module(node) and not _builds(node, script, reach):
                continue
            found.append(read_class(Class(node, memo.scope_of(node, script)), memo))
        elif _builds(node, script, reach):
            scope = memo.module_of(script)
            found.append(read_block(node.name, node.body, scope, memo, Function(node, scope)))
    statements = [node for node in script.tree.body if not isinstance(node, (*FUNCTIONS, ast.ClassDef))]
    if any(_builds(statement, script, reach) for statement in statements):
        found.append(read_block("the top level", statements, memo.module_of(script), memo))
    if "partial" in script.text and "functools.partial" in script.imports.values():
        from normfix.readers.partials import may_prepare, prepared

        if may_prepare(script.text):
            found.append(prepared(script, memo.module_of(script), found))
    return [graph for graph in found if graph.layers or graph.calls]


def _builds(block: ast.stmt, script: Script, reach: Reach) -> bool:
    """Does this code itself construct layers of a library."""
    if not reach.may_call_library(block):
        return False
    return any(
        isinstance(node, ast.Call) and script.resolve(node.func).startswith(("torch.nn.", "timm.", "torchvision.ops."))
        for node in walk(block)
    )


def _is_module(node: ast.ClassDef) -> bool:
    """May this be a class of layers: it has bases, and a forward or a constructor."""
    methods = {statement.name for statement in node.body if isinstance(statement, FUNCTIONS)}
    return bool(node.bases) and not methods.isdisjoint({"forward", "__init__"})


def _relevant(script: Script, reach: Reach) -> dict[Definition, bool]:
    """Top-level classes and functions that name a norm (True), and those that use one of them (False).

    A block of the file is followed from the class that uses it, one level deep: further away nothing is decided.
    """
    own = [node for node in reach.texts if isinstance(node, (ast.ClassDef, *FUNCTIONS))]
    norms = {alias for alias, dotted in script.imports.items() if says_norm(dotted)}
    naming = {node: says_norm(reach.texts[node]) or bool(reach.words(node) & norms) for node in own}
    direct = {node.name for node in own if naming[node]}
    return {node: naming[node] for node in own if naming[node] or reach.words(node) & direct}
