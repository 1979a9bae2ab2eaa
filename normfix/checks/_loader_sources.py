"""Which DataLoaders an expression may stand for: through names, parameters, returned values and parts of a dict."""

import ast
from collections.abc import Iterator

from normfix.checks._loaders import CONSTRUCTORS
from normfix.script import Script
from normfix.usage.calling import callee, callers, passed
from normfix.usage.steps import Scope, dotted, scope_of, scopes

COUNTS = frozenset({"len", "range"})
"""Calls that ask how long a loader is, and read nothing from it."""


def loaders_behind(script: Script, node: ast.expr) -> set[ast.Call]:
    """The constructions of the loaders that an expression may stand for, or be made from."""
    return set(_sources(script, scope_of(script, node), node, None, set()))


def _sources(script: Script, scope: Scope, node: ast.AST, key: str | None, seen: set[object]) -> Iterator[ast.Call]:
    """The loaders that an expression may stand for; with a key, the entry of that name in a dict.

    Each name and each function is looked at once: `seen` holds those that were.
    """
    meanings: Iterator[tuple[ast.expr, Scope]] = iter(())
    if isinstance(node, ast.Call) and script.resolve(node.func) in CONSTRUCTORS:
        yield node
    elif isinstance(node, ast.Subscript):
        entry = getattr(node.slice, "value", None)
        yield from _sources(script, scope, node.value, entry if isinstance(entry, str) else None, seen)
    elif isinstance(node, ast.Name | ast.Attribute):
        meanings = _values(script, scope, dotted(node)) if _is_new((scope.node, dotted(node), key), seen) else meanings
    elif isinstance(node, ast.Call) and (function := callee(script, node)) is not None:
        meanings = _returned(script, node) if _is_new((function, key), seen) else meanings
    elif not (isinstance(node, ast.Call) and dotted(node.func) in COUNTS):
        for child in _parts(node, key):
            yield from _sources(script, scope, child, key, seen)
    for value, where in meanings:
        yield from _sources(script, where, value, key, seen)


def _is_new(one: object, seen: set[object]) -> bool:
    new = one not in seen
    seen.add(one)
    return new


def _parts(node: ast.AST, key: str | None) -> Iterator[ast.AST]:
    if isinstance(node, ast.Call):
        yield from [node.func.value] if isinstance(node.func, ast.Attribute) else []
        yield from (*node.args, *(one.value for one in node.keywords if key is None or one.arg in (key, None)))
    elif isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        yield from (value for name, value in pairs if key is None or getattr(name, "value", key) == key)
    else:
        yield from ast.iter_child_nodes(node)


def _values(script: Script, scope: Scope, name: str) -> Iterator[tuple[ast.expr, Scope]]:
    """What a name may stand for, and the scope that this is written in."""
    table = scopes(script)
    if name in scope.parameters():
        for call in callers(script, scope.node):
            given = passed(call, scope).get(name)
            if given is not None:
                yield given, scope_of(script, call)
    homes = [scope] if name in scope.bound or name in scope.parameters() else [table[script.tree]]
    if name.startswith("self."):
        owner = script.class_of(scope.node)
        homes = [one for one in table.values() if name in one.bound and script.class_of(one.node) is owner]
    for home in homes:
        yield from ((value, home) for value in home.bound.get(name, ()) if value is not None)
        if None in home.bound.get(name, ()):
            yield from _unpacked(script, home, name)


def _unpacked(script: Script, scope: Scope, name: str) -> Iterator[tuple[ast.expr, Scope]]:
    """The part of `a, b = build()` or `a, b = accelerator.prepare(x, y)` that a name is given."""
    for assign in script.of_type(ast.Assign):
        target = assign.targets[0]
        if not isinstance(target, ast.Tuple) or not isinstance(assign.value, ast.Call):
            continue
        names = [dotted(one) for one in target.elts]
        if name not in names or scope_of(script, assign) is not scope:
            continue
        index = names.index(name)
        if dotted(assign.value.func).endswith(".prepare") and index < len(assign.value.args):
            yield assign.value.args[index], scope
        for value, where in _returned(script, assign.value):
            if isinstance(value, ast.Tuple) and index < len(value.elts):
                yield value.elts[index], where


def _returned(script: Script, call: ast.Call) -> Iterator[tuple[ast.expr, Scope]]:
    function = callee(script, call)
    if function is not None:
        for node in script.of_type(ast.Return):
            if node.value is not None and scope_of(script, node).node is function:
                yield node.value, scopes(script)[function]
