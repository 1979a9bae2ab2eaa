"""Methods besides the constructor and the forward: which of them use layers, and what they do to them."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from normfix.graph import Unknown
from normfix.readers.interpreter import classes, functions, inputs
from normfix.readers.interpreter.forking import NORMAL
from normfix.readers.interpreter.joining import layers, tensors
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import MODULES, Choice, Class, Function, Instance
from normfix.script import FUNCTIONS

_WALKS = frozenset({"modules", "children", "named_modules", "named_children", "apply"})
_SETTING = (
    "init",
    "reset",
    "_init",
    "load",
    "post_init",
    "configure",
    "extra_repr",
    "register",
    "build",
    "make",
    "setup",
)
"""Methods whose names begin so set weights or build layers, and are handed the object for that."""


def using_layers(run: Run, cls: Class, owner: Instance, forward: Function | None) -> list[Function]:
    """Methods that may run on their own, and use the layers."""
    found: list[Function] = []
    seen = {"__init__", "forward", "__repr__", "__len__"}
    for home in classes.lineage(cls):
        for node in home.node.body:
            if isinstance(node, FUNCTIONS) and node.name not in seen and node not in run.visited:
                seen.add(node.name)
                if _uses(run, node, owner):
                    found.append(Function(node, home.scope, home))
    if forward is None:
        return found
    reached = _reached(run, forward, found)
    return [function for function in found if function.node.name not in reached]  # type: ignore[union-attr]


def _reached(run: Run, forward: Function, methods: Sequence[Function]) -> set[str]:
    """Methods that forward calls, directly or through others, and that are not interesting on their own."""
    by_name = {function.node.name: function for function in methods if not isinstance(function.node, ast.Lambda)}
    found: set[str] = set()
    waiting: list[Function] = [forward]
    while waiting:
        for node in run.attributes(waiting.pop().node):
            if node.attr in by_name and node.attr not in found:
                found.add(node.attr)
                waiting.append(by_name[node.attr])
    return found


def _uses(run: Run, method: ast.FunctionDef | ast.AsyncFunctionDef, owner: Instance) -> bool:
    return any(
        node.attr in _WALKS or isinstance(owner.content.get(node.attr), (*MODULES, Choice))
        for node in run.attributes(method)
    )


def follow(run: Run, method: Function, owner: Instance) -> int:
    """Run a method as if something outside called it."""
    name = getattr(method.node, "name", "")
    run.building = name.startswith(_SETTING)
    try:
        values = inputs.of_method(run, method)
        scope = functions.enter(run, method, owner, values)
        for value in scope.returns:
            for call in tensors(value):
                run.escape(call, Unknown(f"`{name}` returns it"))
            if next(layers(value), None) is not None and not isinstance(value, Instance):
                run.escape(value, Unknown(f"`{name}` returns it"))
    finally:
        run.building = False
    return NORMAL


def lose_replaced(run: Run, owner: Instance) -> None:
    """Layers that a method other than the constructor replaces or deletes."""
    for home in classes.lineage(owner.cls):
        for method in home.node.body:
            if not isinstance(method, FUNCTIONS) or method in run.visited:
                continue
            for node in run.attributes(method):
                if not isinstance(node.ctx, ast.Load):
                    value = owner.content.get(node.attr)
                    if isinstance(node.value, ast.Name) and isinstance(value, (*MODULES, Choice)):
                        for layer in layers(value):
                            run.escape(layer, Unknown(f"`{method.name}` replaces it"))
