"""Arguments that a parameter of the constructor decides, read once for each value that the code tells apart."""

import ast
from collections.abc import Collection, Iterator

from normfix.graph import Layer, LayerGraph, Unknown
from normfix.script import FUNCTIONS, Function, Script, expression, walk
from normfix.usage.steps import dotted

FLAG = (True, False)
OTHER = "another value"
"""Stands for what a parameter may be beside the values that it is compared with."""


def variants(layer: Layer, name: str, graph: LayerGraph, script: Script) -> Iterator[LayerGraph]:
    """The graphs for all values of the one parameter that decides this argument; none where it is not one alone."""
    argument = layer.arguments.get(name)
    entry = _entry(graph.name, script)
    if argument is None or not isinstance(argument.value, Unknown) or entry is None or graph.under is None:
        return
    if layer.owner != graph.name or not argument.text:
        return
    deciding = _deciding(argument.text, entry)
    if len(deciding) == 1:
        (parameter,) = deciding
        for value in _values(parameter, script.class_of(entry) or entry):
            yield graph.under({parameter: value})


def _entry(name: str, script: Script) -> Function | None:
    """The constructor of a class of this name, or the function of this name."""
    for node in script.tree.body:
        if isinstance(node, (ast.ClassDef, *FUNCTIONS)) and node.name == name:
            body = node.body if isinstance(node, ast.ClassDef) else [node]
            return next((one for one in body if isinstance(one, FUNCTIONS) and one.name in (name, "__init__")), None)
    return None


def _deciding(text: str, entry: Function) -> set[str]:
    """The parameters, or attributes of them, that an expression in a constructor is made of."""
    spec = entry.args
    parameters = {one.arg for one in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)} - {"self"}
    found: set[str] = set()
    seen: set[str] = set()
    todo = _names(expression(text))
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        values = _assigned(name, entry)
        if name.partition(".")[0] in parameters:
            found.add(name if name.count(".") < 2 else "")
            found |= {""} if values else set()  # It is another value by then.
        for value in values:
            todo |= _names(value)
    return found


def _names(node: ast.AST) -> set[str]:
    """The dotted names that an expression reads, each at its full length."""
    found: set[str] = set()
    todo = [node]
    while todo:
        one = todo.pop()
        if isinstance(one, (ast.Name, ast.Attribute)) and dotted(one):
            found.add(dotted(one))
        else:
            todo += ast.iter_child_nodes(one)
    return found


def _assigned(name: str, entry: Function) -> list[ast.expr]:
    """The values that a name gets in a function."""
    found: list[ast.expr] = []
    for node in walk(entry):
        if isinstance(node, ast.Assign):
            found += [node.value for target in node.targets if dotted(target) == name]
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign)) and dotted(node.target) == name and node.value:
            found.append(node.value)
    return found


def _values(parameter: str, around: ast.AST) -> Collection[object]:
    """The values of a parameter that the code tells apart: true and false, or what it is compared with."""
    last = parameter.rpartition(".")[2]
    compared: dict[object, None] = {}
    for node in walk(around):
        if isinstance(node, ast.Compare) and dotted(node.left).rpartition(".")[2] == last:
            compared.update(dict.fromkeys(_constants(node.comparators)))
        elif isinstance(node, ast.Match) and dotted(node.subject).rpartition(".")[2] == last:
            compared.update(dict.fromkeys(_constants([case.pattern for case in node.cases])))
    texts = [one for one in compared if isinstance(one, str)]
    if not compared or set(compared) <= {True, False}:
        return FLAG
    return [*texts, OTHER, None] if len(texts) + (None in compared) == len(compared) else ()


def _constants(nodes: Collection[ast.AST]) -> list[object]:
    return [one.value for node in nodes for one in walk(node) if isinstance(one, ast.Constant)]
