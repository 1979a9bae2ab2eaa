"""Attributes of values: read, written, and looked up in classes."""

from __future__ import annotations

import ast

from normfix.graph import Argument, Call, Layer, Unknown
from normfix.readers.interpreter import calls, christening, classes, containers, expressions, functions
from normfix.readers.interpreter.arguments import Arguments, Passed
from normfix.readers.interpreter.joining import join, layers, tensors
from normfix.readers.interpreter.kinds import INNOCENT, METADATA
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.scopes import present
from normfix.readers.interpreter.values import (
    MISSING,
    MODULES,
    Bound,
    Choice,
    Class,
    Constant,
    Container,
    Dotted,
    Function,
    Instance,
    Method,
    Partial,
    Scope,
    Submodule,
    Super,
    Value,
)
from normfix.script import FUNCTIONS

_VIEWS = frozenset({"T", "mT", "H", "mH", "data", "real", "imag", "grad", "values", "indices"})
_RECORDS = frozenset({"dataclass", "define", "frozen", "attrs", "NamedTuple", "BaseModel", "TypedDict"})
"""Decorators and bases that make fields of what a class assigns."""
_FIELD = Unknown("it is a field, which each object may set")
_INSIDES = frozenset({"__dict__", "_modules", "_parameters", "__class__"})


def read(run: Run, value: Value, name: str, node: ast.AST, scope: Scope) -> Value:
    """`value.name`."""
    if type(value) is Unknown:
        return value
    if type(value) is Instance:
        return _of_instance(run, value, name, node, scope)
    if type(value) is Dotted:
        return Dotted(f"{value.name}.{name}")
    if type(value) is Call:
        return _of_tensor(run, value, name, node, scope)
    if isinstance(value, Choice):
        if name in METADATA:
            return Unknown("it is a property of a tensor")
        left = [option for option in value.options if option is not MISSING]
        left = [option for option in left if not (isinstance(option, Constant) and option.value is None)]
        return join(read(run, option, name, node, scope) for option in left)
    if isinstance(value, Layer):
        return _of_layer(run, value, name)
    if isinstance(value, Container) and name in value.table.content:
        return value.table.content[name]
    if isinstance(value, Super):
        return _of_super(run, value, name)
    if isinstance(value, Class):
        return _of_class(run, value, name)
    return Method(value, name)


def _of_tensor(run: Run, value: Call, name: str, node: ast.AST, scope: Scope) -> Value:
    if name in METADATA:
        return Unknown("it is a property of a tensor")
    if name in _VIEWS:
        return run.operation(name, [value], node, scope)
    return Method(value, name)


def _of_layer(run: Run, layer: Layer, name: str) -> Value:
    if name in INNOCENT:
        argument = layer.arguments.get(name)
        if argument is not None and isinstance(argument.value, (int, float, str, bool)):
            return Constant(argument.value)
    elif name == "bias" or layer.kind == "unknown":
        run.escape(layer, Unknown(f"`{name}` of it is used"))
    return Method(layer, name)


def _of_instance(run: Run, owner: Instance, name: str, node: ast.AST, scope: Scope) -> Value:
    if name in owner.content:
        value = owner.content[name]
        if not isinstance(value, Choice) or MISSING not in value.options:
            return value
        inherited = _inherited(run, owner, name)
        return join([present(value), inherited]) if inherited is not None else present(value)
    if name in _INSIDES:
        if name == "__class__":
            return Unknown("it is the class of the object, which a subclass changes")
        insides(run, owner, Unknown(f"`{name}` of the object is used"))
        return Unknown(f"it comes from `{name}`")
    if owner.children is not None and name in owner.children.table.content:
        return owner.children.table.content[name]
    inherited = _inherited(run, owner, name)
    if inherited is not None:
        return inherited
    if owner.dynamic is not None:
        return owner.dynamic
    return Method(owner, name)


def insides(run: Run, owner: Instance, why: Unknown) -> None:
    """Everything that an object holds may be used in any way."""
    for value in list(owner.content.values()):
        run.escape(value, why)
        if isinstance(value, (Container, Choice)):
            for layer in layers(value):
                run.escape(layer, why)
    owner.dynamic = owner.dynamic or why


def _inherited(run: Run, owner: Instance, name: str) -> Value | None:
    """What the classes of an object hold under this name; None where they hold nothing."""
    for home in classes.lineage(owner.cls):
        found = classes.member(home, name)
        if isinstance(found, FUNCTIONS):
            return _method(run, found, home, owner)
        if found is not None:
            return _FIELD if _has_fields(home) else expressions.evaluate(run, found, home.scope)
    return None


def _has_fields(home: Class) -> bool:
    """Are the values in the body of this class defaults, which each object may be given others for."""
    return any(_last(one) in _RECORDS for one in (*home.node.decorator_list, *home.node.bases))


def _method(run: Run, node: ast.FunctionDef | ast.AsyncFunctionDef, home: Class, owner: Instance) -> Value:
    function = Function(node, home.scope, home)
    marks = {_last(decorator) for decorator in node.decorator_list}
    if "staticmethod" in marks:
        return function
    if marks & {"property", "cached_property", "lazy_property"}:
        return functions.run_function(run, function, calls.NOTHING, node, owner)
    if "classmethod" in marks:
        return _of_the_class(function, owner.cls)
    return Bound(function, owner)


def _of_the_class(function: Function, cls: Class) -> Partial:
    """A class method, with the class that it is given."""
    return Partial(function, Arguments([Passed(cls, None, 0, function.scope)], {}))


def _last(decorator: ast.expr) -> str:
    node = decorator.func if isinstance(decorator, ast.Call) else decorator
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _of_super(run: Run, value: Super, name: str) -> Value:
    homes = classes.lineage(value.receiver.cls)
    after = homes[homes.index(value.home) + 1 :] if value.home in homes else classes.lineage(value.home)[1:]
    for home in after:
        found = classes.member(home, name)
        if isinstance(found, FUNCTIONS):
            return _method(run, found, home, value.receiver)
    return Method(value, name)


def _of_class(run: Run, value: Class, name: str) -> Value:
    for home in classes.lineage(value):
        found = classes.member(home, name)
        if isinstance(found, FUNCTIONS):
            marks = {_last(decorator) for decorator in found.decorator_list}
            if "classmethod" in marks:
                return _of_the_class(Function(found, home.scope, home), value)
            return Function(found, home.scope, home) if "staticmethod" in marks else Method(value, name)
        if found is not None:
            return _FIELD if _has_fields(home) else expressions.evaluate(run, found, home.scope)
    return Method(value, name)


def anything(owner: Instance, name: str) -> list[Value]:
    """What an attribute holds, without any effect."""
    return [owner.content[name]] if name in owner.content else []


def write(run: Run, owner: Value, name: str, value: Value, scope: Scope) -> None:
    """`owner.name = value`."""
    if isinstance(owner, Instance):
        if name in _INSIDES:
            insides(run, owner, Unknown(f"`{name}` of the object is replaced"))
            return
        if not run.building:
            for call in tensors(value):
                run.escape(call, Unknown(f"it is kept in `self.{name}`"))
        if isinstance(value, (*MODULES, Choice)):
            christening.christen(value, f"self.{name}")
        if owner.children is not None and isinstance(value, (*MODULES, Choice)):
            containers.add(run, owner.children, value, name)
        run.assign(owner, name, value)
    elif isinstance(owner, Layer):
        overwritten = Unknown(f"`{name}` is set after the layer was constructed")
        owner.arguments = {**owner.arguments, name: Argument(overwritten)}
        run.escape(value, overwritten)
    elif isinstance(owner, (Submodule, Method)):
        pass
    else:
        run.escape(value, Unknown("it is kept in an object that is not known"))
        if isinstance(owner, (Container, Choice)):
            containers.unsettle(run, owner, Unknown("a part of it is replaced"))
