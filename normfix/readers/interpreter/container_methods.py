"""Methods of containers of layers."""

from __future__ import annotations

import ast

from normfix.graph import Unknown
from normfix.readers.interpreter import containers, displays, methods, modules, plain_methods
from normfix.readers.interpreter.arguments import Arguments
from normfix.readers.interpreter.kinds import CONVENIENT
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import NONE, Constant, Container, Items, Repeat, Scope, Submodule, Table, Value


def invoke(run: Run, container: Container, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    """The result of a method of a container."""
    first = arguments.get(0, "module")
    if name == "append" and first is not None:
        containers.add(run, container, first)
        return container
    if name == "extend" and first is not None:
        containers.extend(run, container, displays.iterated(run, first, node, scope))
        return container
    if name in ("add_module", "register_module"):
        _add_module(run, container, arguments)
        return NONE
    if name in ("items", "keys", "values") and container.kind == "ModuleDict":
        return plain_methods.of_dict(run, container.table, name, arguments, node, scope)
    if name == "update" and isinstance(first, Table):
        for key, value in first.content.items():
            containers.add(run, container, value, key)
        return NONE
    if name == "insert" and containers.insert(run, container, arguments):
        return NONE
    if name in ("insert", "pop", "clear", "__setitem__", "__delitem__"):
        containers.unsettle(run, container, Unknown(f"`{name}` changes the container"))
        return Unknown("it comes from a container that changes")
    if name in ("children", "modules", "named_children", "named_modules"):
        return _children(container, name)
    if name == "eval":
        methods.freeze(run, container)
    if name in CONVENIENT:
        return container
    if name == "forward":
        return modules.invoke(run, container, arguments, node, scope)
    if name in methods.QUIET or name in methods.WALKS:
        return Unknown("it holds parameters")
    return modules.mystery(run, f"`{name}` of a container is not followed", arguments, node, scope)


def _children(container: Container, name: str) -> Value:
    if name == "children":
        return container.items
    if name == "named_children":
        named = [Items([Unknown("the name of a layer"), part], "tuple") for part in container.items.plain() or ()]
        if container.items.plain() is not None:
            return Items([*named])
    walk: Value = Submodule(container)
    return Items([Repeat([Items([Unknown("the name of a layer"), walk], "tuple") if "named" in name else walk])])


def _add_module(run: Run, owner: Container, arguments: Arguments) -> None:
    name, value = arguments.get(0, "name"), arguments.get(1, "module")
    if value is not None:
        containers.add(run, owner, value, name.value if isinstance(name, Constant) else None)
