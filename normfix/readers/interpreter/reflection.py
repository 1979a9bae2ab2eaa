"""What a program asks of an object by name or class: `getattr`, `setattr`, `hasattr`, `isinstance`."""

from __future__ import annotations

import ast

from normfix.graph import Layer, Unknown
from normfix.readers.interpreter import attributes, builtin, methods
from normfix.readers.interpreter.arguments import Arguments
from normfix.readers.interpreter.joining import join, layers, options
from normfix.readers.interpreter.kinds import constructed
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import (
    MISSING,
    NONE,
    Class,
    Constant,
    Dotted,
    Function,
    Instance,
    Items,
    Partial,
    Scope,
    Value,
)


def invoke(run: Run, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    """The result of calling one of these functions."""
    given = [passed.value for passed in arguments.positional]
    if name == "hasattr":
        return _has(given)
    return _is_instance(given) if name == "isinstance" else _attribute(run, name, arguments, node, scope)


def _attribute(run: Run, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    owner, key = arguments.get(0, "object"), arguments.get(1, "name")
    value = arguments.get(2, "value")
    if owner is None or key is None:
        return Unknown("its attribute is not known")
    text = key.value if isinstance(key, Constant) and isinstance(key.value, str) else None
    if name == "setattr":
        if text is not None and value is not None:
            attributes.write(run, owner, text, value, scope)
        elif value is not None and isinstance(owner, Instance):
            methods.store_anywhere(run, owner, value)
        elif value is not None:
            run.escape(value, Unknown("it is kept under a name that is not known"))
        return NONE
    if text is not None:
        found = attributes.read(run, owner, text, node, scope)
        return join([found, value]) if value is not None else found
    if isinstance(owner, Instance):
        why = Unknown("`getattr` gives a layer by a computed name")
        for layer in layers(owner):
            run.escape(layer, why)
        return why
    return Unknown("it is an attribute by a computed name")


def _has(given: list[Value]) -> Value:
    if len(given) == 2 and isinstance(given[0], Instance) and isinstance(given[1], Constant):
        value = given[0].content.get(str(given[1].value), MISSING)
        if value is not MISSING and MISSING not in options(value):
            return Constant(True)
    return Unknown("it is not known whether the attribute is there")


def _is_instance(given: list[Value]) -> Value:
    if len(given) == 2 and isinstance(given[0], Layer) and isinstance(given[1], Dotted):
        kind = constructed(given[1].name)
        if kind is not None and kind == given[0].kind:
            return Constant(True)
    kinds = _python_types(given[1]) if len(given) == 2 else None
    if isinstance(given[0], Constant) and given[0].value is None:
        return Constant(False)
    if kinds and isinstance(given[0], Constant):
        return Constant(isinstance(given[0].value, kinds))
    layer_class = isinstance(given[0], Dotted) and constructed(given[0].name) is not None
    if kinds and (layer_class or isinstance(given[0], (Class, Function, Partial, Layer))):
        return Constant(False)
    return Unknown("the class of a value is asked for")


def _python_types(value: Value) -> tuple[type, ...] | None:
    """The types of plain values that a test names: `str`, `(int, float)`; None where it names others too."""
    named = value.plain() or [] if isinstance(value, Items) else [value]
    found = [builtin.PLAIN.get(one.name.removeprefix("builtins.")) for one in named if isinstance(one, Dotted)]
    types = tuple(one for one in found if isinstance(one, type))
    return types if types and len(types) == len(named) else None
