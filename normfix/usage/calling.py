"""Which function of the same file a call runs, and with what."""

from __future__ import annotations

import ast
from functools import lru_cache

from normfix.script import Function, Script
from normfix.usage.lines import calls_with
from normfix.usage.steps import Scope, dotted, functions


@lru_cache(maxsize=8)
def _functions(script: Script) -> dict[str, list[Function]]:
    table: dict[str, list[Function]] = {}
    for node in functions(script):
        table.setdefault(node.name, []).append(node)
    return table


@lru_cache(maxsize=8)
def _callees(_: Script) -> dict[ast.Call, Function | None]:
    """What was found already of the calls of one script."""
    return {}


def callee(script: Script, call: ast.Call) -> Function | None:
    """The function of this file that a call runs: `f()`, or `self.f()` in its class; None where it is not clear."""
    known = _callees(script)
    if call not in known:
        known[call] = _callee(script, call)
    return known[call]


def _callee(script: Script, call: ast.Call) -> Function | None:
    function = call.func
    if isinstance(function, ast.Name):
        found = [node for node in _functions(script).get(function.id, ()) if script.class_of(node) is None]
        return found[0] if len(found) == 1 and function.id not in script.imports else None
    if isinstance(function, ast.Attribute) and dotted(function.value) in ("self", "cls"):
        own = script.class_of(call)
        found = [node for node in _functions(script).get(function.attr, ()) if script.class_of(node) is own]
        return found[0] if len(found) == 1 else None
    return None


@lru_cache(maxsize=8)
def _callers(_: Script) -> dict[ast.AST, list[ast.Call]]:
    """What was found already of the functions of one script."""
    return {}


def callers(script: Script, function: ast.AST) -> list[ast.Call]:
    """The calls of a function in its own file."""
    known = _callers(script)
    if function not in known:
        name = getattr(function, "name", "")
        calls = calls_with(script, name) if name else ()
        named = (one for one in calls if name in (getattr(one.func, "attr", ""), getattr(one.func, "id", "")))
        known[function] = [one for one in named if callee(script, one) is function]
    return known[function]


def defaults(function: Function) -> dict[str, ast.expr]:
    """The defaults of a function's parameters, by name."""
    spec = function.args
    names = [one.arg for one in (*spec.posonlyargs, *spec.args)]
    found = dict(zip(reversed(names), reversed(spec.defaults), strict=False))
    return found | {one.arg: value for one, value in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if value}


def passed(call: ast.Call, scope: Scope) -> dict[str, ast.expr]:
    """The arguments of a call by parameter of the function that it runs."""
    names = scope.parameters()
    if isinstance(call.func, ast.Attribute) and names[:1] in (["self"], ["cls"]):
        names = names[1:]
    given = dict(zip(names, call.args, strict=False))
    return given | {one.arg: one.value for one in call.keywords if one.arg in names and one.arg is not None}
