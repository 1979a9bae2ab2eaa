"""The classes of a live model as source: what a `forward` or a `train` that runs says is a fact of the model."""

import ast
from collections.abc import Iterator

from normfix.engine import Facts
from normfix.findings import Problem
from normfix.graph import Definition, LayerGraph, Site, Undecided
from normfix.records import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from normfix.engine import Check


def problems(
    check: "Check", graph: LayerGraph, facts: Facts, method: str, word: str = ""
) -> Iterator[Problem | Undecided]:
    """What a check of classes finds in those of a model whose own `method` is run; `word` is part of their names.

    Gives `Undecided` for a class whose source is not at hand.
    """
    for definition in graph.definitions:
        if method not in definition.methods or word not in definition.name.lower():
            continue
        try:
            script = definition.script()
        except Undecided as undecided:
            yield undecided  # the others can be read all the same
            continue
        node = _node(script.tree, definition)
        for problem in check.run(node, replace(facts, script=script)) if node is not None else ():
            if isinstance(problem, Problem):
                yield _in_model(problem, definition)


def _in_model(problem: Problem, definition: Definition) -> Problem:
    """The same, at the module as well as at the line; a model is no place for a fix."""
    site = Site(problem.site.origin, definition.modules[0])
    return Problem(site, problem.message, problem.help, severity=problem.severity, related=problem.related)


def _node(tree: ast.AST, definition: Definition) -> ast.ClassDef | None:
    """The class in its file; "<locals>" stands between a function and what it defines."""
    found: ast.AST = tree
    for name in definition.name.replace("<locals>.", "").split("."):
        inner = [
            one
            for one in ast.walk(found)
            if isinstance(one, ast.ClassDef | ast.FunctionDef) and one.name == name and one is not found
            if not definition.line or one.lineno <= definition.line <= (one.end_lineno or one.lineno)
        ]
        if not inner:
            return None
        found = inner[0]
    return found if isinstance(found, ast.ClassDef) else None
