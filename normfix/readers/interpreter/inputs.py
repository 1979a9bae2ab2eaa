"""What an entry is given: the parameters of a constructor, the inputs of a forward."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from normfix.graph import Call, Layer, Unknown
from normfix.readers.interpreter import signatures
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import (
    NONE,
    Choice,
    Class,
    Constant,
    Function,
    Instance,
    Items,
    Repeat,
    Scope,
    Value,
)

_PLAIN_TYPES = frozenset({"int", "float", "bool", "str"})


def parameters(function: Function, where: str, given: Mapping[str, object]) -> dict[str, Value]:
    """Values for the parameters of an entry: unknown, but for what is given of them, or of their attributes."""
    values = signatures.unknown(function, where)
    for dotted, value in given.items():
        name, _, attribute = dotted.partition(".")
        values[name] = _holding(attribute, value, function.scope) if attribute else Constant(value)
    return values


def _holding(attribute: str, value: object, scope: Scope) -> Instance:
    """An object of which one attribute is known."""
    owner = Instance(Class(ast.ClassDef("", [], [], [], []), scope))
    owner.content[attribute] = Constant(value)
    owner.dynamic = Unknown("it is an attribute of a parameter")
    return owner


def of_method(run: Run, method: Function) -> dict[str, Value]:
    """Values for the parameters of a forward: a tensor for each that is not plainly a flag or a number."""
    spec = method.node.args
    values: dict[str, Value] = {}
    arguments = [*spec.posonlyargs, *spec.args]
    defaults: list[ast.expr | None] = [*[None] * (len(arguments) - len(spec.defaults)), *spec.defaults]
    own = zip([*arguments[1:], *spec.kwonlyargs], [*defaults[1:], *spec.kw_defaults], strict=True)
    for argument, default in own:
        values[argument.arg] = _parameter(run, argument, default, method.scope)
    if spec.vararg is not None:
        values[spec.vararg.arg] = Items([Repeat([tensor(run, spec.vararg.arg, spec.vararg, method.scope)])], "tuple")
    if spec.kwarg is not None:
        values[spec.kwarg.arg] = Unknown(f"`**{spec.kwarg.arg}` is a parameter")
    return values


def _parameter(run: Run, argument: ast.arg, default: ast.expr | None, scope: Scope) -> Value:
    plain = isinstance(argument.annotation, ast.Name) and argument.annotation.id in _PLAIN_TYPES
    if plain or (isinstance(default, ast.Constant) and default.value is not None):
        return Unknown(f"`{argument.arg}` is a parameter of the forward")
    source = tensor(run, argument.arg, argument, scope)
    return Choice([source, NONE]) if isinstance(default, ast.Constant) else source


def tensor(run: Run, name: str, node: ast.AST, scope: Scope) -> Call:
    """A tensor that comes from outside."""
    site = run.site(node, scope)
    call = Call(Layer("input", name, site), site=site, branches=run.path)
    run.graph.calls.append(call)
    return call
