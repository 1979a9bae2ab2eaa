"""Methods of lists, dicts, tensors, layers and objects."""

from __future__ import annotations

import ast
from collections.abc import Callable

from normfix.graph import Call, Layer, Unknown
from normfix.readers.interpreter import (
    attributes,
    calls,
    containers,
    derived,
    displays,
    functions,
    modules,
    operations,
    operators,
    subscripts,
)
from normfix.readers.interpreter.arguments import Arguments
from normfix.readers.interpreter.joining import flat, join, options, tensors
from normfix.readers.interpreter.kinds import CONVENIENT, QUESTIONS, is_module_base
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import (
    MISSING,
    NONE,
    Choice,
    Constant,
    Container,
    Instance,
    Items,
    Method,
    Repeat,
    Scope,
    Submodule,
    Super,
    Table,
    Value,
)

_WALKS = frozenset({"modules", "children", "named_modules", "named_children", "parameters", "named_parameters"})
_QUIET = frozenset(
    """register_buffer register_parameter parameters named_parameters buffers state_dict load_state_dict eval train
    save_hyperparameters log post_init init_weights requires_grad_ apply to cuda cpu half float double zero_grad
    print info warning debug reset_parameters extra_repr
    register_load_state_dict_pre_hook _register_load_state_dict_pre_hook register_state_dict_hook""".split()
)


def invoke(run: Run, method: Method, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    """The result of calling a method."""
    receiver, name = method.receiver, method.name
    if isinstance(receiver, Call):
        return _of_tensor(run, receiver, name, arguments, node, scope)
    if isinstance(receiver, Items):
        return _of_list(run, receiver, name, arguments, node, scope)
    if isinstance(receiver, Table):
        return _of_dict(run, receiver, name, arguments, node, scope)
    if isinstance(receiver, Container):
        return _of_container(run, receiver, name, arguments, node, scope)
    if isinstance(receiver, Super):
        return _of_super(run, receiver, name, arguments, node, scope)
    if isinstance(receiver, Instance):
        return _of_instance(run, receiver, name, arguments, node, scope)
    if isinstance(receiver, Layer):
        return _of_layer(run, receiver, name, arguments, node, scope)
    if isinstance(receiver, (Method, Submodule)):
        if isinstance(receiver, Submodule) and name == "eval":
            _freeze(run, receiver.owner)
        for value in arguments.values():
            run.escape(value, Unknown(f"it is passed to `{name}`"))
        return Unknown("it is the result of a method that is not followed")
    if isinstance(receiver, Constant):
        return _of_constant(receiver, name, arguments)
    return modules.mystery(run, f"the method `{name}` is not followed", arguments, node, scope)


def _of_constant(receiver: Constant, name: str, arguments: Arguments) -> Value:
    given = [one.value for one in arguments.values() if isinstance(one, Constant)]
    if isinstance(receiver.value, str) and len(receiver.value) < 200:
        if name in ("lower", "upper", "strip", "title", "capitalize") and not given:
            return Constant(getattr(receiver.value, name)())
        if name == "format" and len(given) == sum(1 for _ in arguments.values()) and not arguments.keywords:
            return operators.formatted(receiver.value, given)
    return Unknown("it is a computed value")


def _of_tensor(run: Run, receiver: Call, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    if name in QUESTIONS:
        return Unknown("it is a property of a tensor")
    return operations.method(run, receiver, name, arguments, node, scope)


def _of_list(run: Run, items: Items, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    first = arguments.get(0, "object")
    if name in ("append", "add") and first is not None:
        run.touch(items)
        items.content.append(first)
        if items.leaked is not None:
            run.escape(first, items.leaked)
        return NONE
    if name == "extend" and first is not None:
        calls.extend(run, items, displays.iterated(run, first, node, scope))
        return NONE
    plain = items.plain()
    if name == "insert" and plain is not None:
        place, value = arguments.get(0, "index"), arguments.get(1, "object")
        if isinstance(place, Constant) and isinstance(place.value, int) and value is not None:
            run.touch(items)
            items.content = [*plain[: place.value], value, *plain[place.value :]]
            return NONE
    if name == "pop" and plain and not run.looping:
        index = first.value if isinstance(first, Constant) else -1 if first is None else None
        if isinstance(index, int) and -len(plain) <= index < len(plain):
            run.touch(items)
            value = plain[index]
            items.content = [one for place, one in enumerate(plain) if place != index % len(plain)]
            return value
    if name in ("index", "count", "copy"):
        return Items(list(items.content), items.kind) if name == "copy" else Unknown("it is a place in a list")
    return _scrambled(run, items, name, arguments)


def _scrambled(run: Run, items: Items, name: str, arguments: Arguments) -> Value:
    """The list changes in a way that is not followed: each of its elements may stand anywhere in it."""
    why = Unknown(f"`{name}` changes the list in a way that is not followed")
    elements = [*flat(items.content), *arguments.values()]
    run.touch(items)
    items.content = [Repeat([join([*elements, why])])] if elements else []
    items.leaked = items.leaked or why
    for value in elements:
        run.escape(value, why)
    return join([*elements, why])


def _of_dict(run: Run, table: Table, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    if name == "items":
        pairs = [Items([Constant(key), value], "tuple") for key, value in table.content.items()]
        return _listed(list(pairs), table)
    if name in ("keys", "values"):
        found: list[Value] = [Constant(key) for key in table.content] if name == "keys" else [*table.content.values()]
        return _listed(found, table)
    first = arguments.get(0, "key")
    if name in ("get", "pop", "setdefault") and first is not None:
        default = arguments.get(1, "default") or NONE
        if isinstance(first, Constant) and table.leaked is None:
            held = table.content.get(first.value)
            if run.looping and held is not None:
                return held
            if not run.looping and (held is None or MISSING not in options(held)):
                return _entry(run, table, name, first.value, default)
        return join([subscripts.item(run, table, first, node, scope), default])
    if name == "update":
        for value in arguments.values():
            run.touch(table)
            if isinstance(value, Table):
                table.content.update(value.content)
                table.leaked = table.leaked or value.leaked
            else:
                run.escape(value, Unknown("it is put into a dict"))
                table.leaked = table.leaked or Unknown("what the dict was updated with is not known")
        return NONE
    if name == "copy":
        return Table(dict(table.content), table.leaked)
    return modules.mystery(run, f"`{name}` of a dict is not followed", arguments, node, scope)


def _entry(run: Run, table: Table, name: str, key: object, default: Value) -> Value:
    """What a dict whose keys are known holds under one of them; it goes with `pop`, and comes with `setdefault`."""
    value = table.content.get(key, default)
    if name != "get" and (name == "pop") == (key in table.content):
        run.touch(table)
        if name == "pop":
            del table.content[key]
        else:
            table.content[key] = default
    return value


def _listed(values: list[Value], table: Table) -> Items:
    items = Items([*values], "tuple")
    if table.leaked is not None:
        items.content.append(Repeat([table.leaked]))
        items.leaked = table.leaked
    return items


def _of_container(
    run: Run, container: Container, name: str, arguments: Arguments, node: ast.AST, scope: Scope
) -> Value:
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
        return _of_dict(run, container.table, name, arguments, node, scope)
    if name == "update" and isinstance(first, Table):
        for key, value in first.content.items():
            containers.add(run, container, value, key)
        return NONE
    if name == "insert" and containers.insert(run, container, arguments):
        return NONE
    if name in ("insert", "pop", "clear", "__setitem__", "__delitem__"):
        calls.unsettle(run, container, Unknown(f"`{name}` changes the container"))
        return Unknown("it comes from a container that changes")
    if name in ("children", "modules", "named_children", "named_modules"):
        return _children(container, name)
    if name == "eval":
        _freeze(run, container)
    if name in CONVENIENT:
        return container
    if name == "forward":
        return modules.invoke(run, container, arguments, node, scope)
    if name in _QUIET or name in _WALKS:
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


def _of_super(run: Run, receiver: Super, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    owner = receiver.receiver
    if name == "__init__":
        if owner.children is not None:
            functions.fill(run, owner, arguments, node, scope)
        else:
            owner.given = arguments
            for value in arguments.values():
                run.escape(value, Unknown("it is passed to the constructor of a base class"))
        return NONE
    done = derived.called(run, owner, arguments, node, scope) if name in derived.FORWARDS else None
    if done is not None:
        return done
    if name in ("forward", "__call__") and owner.children is not None and arguments.positional:
        return containers.run_sequential(run, owner.children, arguments.positional[0].value, node, scope)
    if name in ("add_module", "register_module", "append", "extend", "modules", "children"):
        return _of_instance(run, owner, name, arguments, node, scope)
    if name in _QUIET or run.building:
        return Unknown("it comes from a base class")
    attributes.insides(run, owner, Unknown(f"`super().{name}` may use it"))
    return modules.mystery(run, f"`super().{name}` is not in this file", arguments, node, scope)


def _of_instance(run: Run, owner: Instance, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    if name in ("add_module", "register_module"):
        key, value = arguments.get(0, "name"), arguments.get(1, "module")
        if value is not None and isinstance(key, Constant) and isinstance(key.value, str):
            attributes.write(run, owner, key.value, value, scope)
        elif value is not None:
            store_anywhere(run, owner, value)
        return NONE
    if owner.children is not None and name in ("append", "extend", "items", "keys", "values", "insert", "pop"):
        return _of_container(run, owner.children, name, arguments, node, scope)
    if name in ("modules", "children", "named_modules", "named_children"):
        if name == "children" and owner.children is not None:
            return owner.children.items
        walk: Value = Submodule(owner)
        return Items([Repeat([Items([Unknown("the name of a layer"), walk], "tuple") if "named" in name else walk])])
    if name in ("register_buffer", "register_parameter"):
        key = arguments.get(0, "name")
        if isinstance(key, Constant) and isinstance(key.value, str):
            run.assign(owner, key.value, Unknown("it is a stored tensor"))
        return NONE
    if name in CONVENIENT:
        return owner
    done = derived.called(run, owner, arguments, node, scope) if name in derived.FORWARDS else None
    if done is not None:
        return done
    if name == "get_submodule":
        attributes.insides(run, owner, Unknown("`get_submodule` gives any layer of the object"))
    if name in _QUIET or run.building:
        for value in arguments.values():
            run.escape(value, Unknown(f"it is passed to `{name}`"))
        return Unknown(f"`{name}` is inherited from elsewhere")
    if not all(is_module_base(base) for base in attributes.bases(owner.cls)):
        attributes.insides(run, owner, Unknown(f"`{name}`, which is inherited from elsewhere, may use it"))
    if next((True for value in arguments.values() for _ in tensors(value)), False):
        return modules.mystery(run, f"`{name}` is inherited from elsewhere", arguments, node, scope)
    for value in arguments.values():
        run.escape(value, Unknown(f"it is passed to `{name}`"))
    return Unknown(f"`{name}` is inherited from elsewhere")


def store_anywhere(run: Run, owner: Instance, value: Value) -> None:
    """A layer is registered under a name that is not known."""
    why = Unknown("it is registered under a computed name")
    for layer in attributes.layers(value):
        run.escape(layer, why)
    if owner.children is not None:
        containers.add(run, owner.children, value)
    else:
        owner.dynamic = owner.dynamic or why


def _of_layer(run: Run, layer: Layer, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    if name == "eval":
        _freeze(run, layer)
    if name in CONVENIENT:
        return layer
    if name == "forward":
        return modules.invoke(run, layer, arguments, node, scope)
    if name in _QUIET or name in _WALKS or name in ("extra_repr", "reset_parameters", "reset_running_stats"):
        return Unknown("it holds parameters")
    run.escape(layer, Unknown(f"`{name}` of it is used"))
    return modules.mystery(run, f"`{name}` of a layer is not followed", arguments, node, scope)


def _freeze(run: Run, value: Value) -> None:
    """The class puts these layers into eval itself."""
    if run.freezing:
        for layer in attributes.layers(value):
            layer.training = False


Handler = Callable[..., Value]
__all__ = ["Choice", "Handler", "invoke", "store_anywhere"]
