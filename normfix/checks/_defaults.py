"""What a parameter is worth: where nobody passes it, and where all callers pass the same."""

import ast
from collections.abc import Iterator

from normfix.script import FUNCTIONS, Function, Script
from normfix.usage.calling import callers, defaults, passed
from normfix.usage.steps import Scope, called_name, dotted, scope_of, scopes


def default_of(script: Script, value: ast.expr) -> tuple[str, ast.expr] | None:
    """The parameter that an expression hands on as it is, with its default; None where the file always passes another.

    `self.name` is followed to the parameter of the constructor that it was set to.
    """
    scope = scope_of(script, value)
    if isinstance(value, ast.Attribute) and dotted(value.value) == "self":
        value = _kept(script, value) or value
    function = scope.node if isinstance(value, ast.Name) else None
    if not isinstance(value, ast.Name) or not isinstance(function, FUNCTIONS) or value.id in scope.bound:
        return None
    default = defaults(function).get(value.id)
    return (value.id, default) if default is not None and _is_left_out(script, function, value.id) else None


def is_true(script: Script, scope: Scope, value: ast.expr | None, depth: int = 4) -> bool:
    """Is an expression True for sure: written so, or a name that has one value, or that all callers give this one."""
    if isinstance(value, ast.Constant) or not isinstance(value, ast.Name) or not depth:
        return isinstance(value, ast.Constant) and value.value is True
    if value.id not in scope.parameters():
        home = scope if value.id in scope.bound else scopes(script)[script.tree]
        return is_true(script, home, home.value(value.id), depth - 1)
    calls = callers(script, scope.node) if value.id not in scope.bound else []
    return bool(calls) and all(
        is_true(script, scope_of(script, call), passed(call, scope).get(value.id), depth - 1) for call in calls
    )


def _kept(script: Script, value: ast.Attribute) -> ast.expr | None:
    """What the one statement that sets an attribute gives it, where that is the method at hand."""
    owner, scope = script.class_of(value), scope_of(script, value)
    methods = [scopes(script)[one] for one in owner.body if isinstance(one, FUNCTIONS)] if owner is not None else []
    values = [one for method in methods for one in method.bound.get(dotted(value), ())]
    return scope.value(dotted(value)) if len(values) == 1 else None


def _is_left_out(script: Script, function: Function, name: str) -> bool:
    """Is there a call of the file that does not pass this parameter, or none that is seen at all."""
    spec = function.args
    names = [one.arg for one in (*spec.posonlyargs, *spec.args)]
    place = names.index(name) - (names[0] in ("self", "cls")) if name in names else None
    calls = list(_calls(script, function))
    return not calls or any(not _passes(call, name, place) for call in calls)


def _passes(call: ast.Call, name: str, place: int | None) -> bool:
    starred = any(isinstance(one, ast.Starred) for one in call.args)
    return (
        starred
        or any(one.arg in (name, None) for one in call.keywords)
        or (place is not None and len(call.args) > place)
    )


def _calls(script: Script, function: Function) -> Iterator[ast.Call]:
    """The calls of a function, or of the class that it constructs, by that name; those of subclasses by `super()`."""
    owner = script.around_of(function).get(function)
    name = owner.name if isinstance(owner, ast.ClassDef) and function.name == "__init__" else function.name
    heirs = [one for one in script.of_type(ast.ClassDef) if name in {dotted(base) for base in one.bases}]
    for call in script.of_type(ast.Call):
        last = called_name(call)
        if last == name or (last == "__init__" and script.class_of(call) in heirs):
            yield call
