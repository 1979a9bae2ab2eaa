"""Methods of tensors, layers and objects; those of lists, dicts and containers have rooms of their own."""

from __future__ import annotations

import ast

from normfix.graph import Call, Layer, Unknown
from normfix.readers.interpreter import attributes, classes, containers, derived, functions, modules, operations
from normfix.readers.interpreter.arguments import Arguments
from normfix.readers.interpreter.joining import layers, tensors
from normfix.readers.interpreter.kinds import CONVENIENT, QUESTIONS, is_module_base
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import (
    NONE,
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

WALKS = frozenset({"modules", "children", "named_modules", "named_children", "parameters", "named_parameters"})
QUIET = frozenset(
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
    if isinstance(receiver, (Items, Table, Constant)):
        from normfix.readers.interpreter import plain_methods

        return plain_methods.invoke(run, receiver, name, arguments, node, scope)
    if isinstance(receiver, Container):
        from normfix.readers.interpreter import container_methods

        return container_methods.invoke(run, receiver, name, arguments, node, scope)
    if isinstance(receiver, Super):
        return _of_super(run, receiver, name, arguments, node, scope)
    if isinstance(receiver, Instance):
        return _of_instance(run, receiver, name, arguments, node, scope)
    if isinstance(receiver, Layer):
        return _of_layer(run, receiver, name, arguments, node, scope)
    if isinstance(receiver, (Method, Submodule)):
        if isinstance(receiver, Submodule) and name == "eval":
            freeze(run, receiver.owner)
        for value in arguments.values():
            run.escape(value, Unknown(f"it is passed to `{name}`"))
        return Unknown("it is the result of a method that is not followed")
    return modules.mystery(run, f"the method `{name}` is not followed", arguments, node, scope)


def _of_tensor(run: Run, receiver: Call, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    if name in QUESTIONS:
        return Unknown("it is a property of a tensor")
    return operations.method(run, receiver, name, arguments, node, scope)


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
    if name in QUIET or run.building:
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
        from normfix.readers.interpreter import container_methods

        return container_methods.invoke(run, owner.children, name, arguments, node, scope)
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
    if name in QUIET or run.building:
        for value in arguments.values():
            run.escape(value, Unknown(f"it is passed to `{name}`"))
        return Unknown(f"`{name}` is inherited from elsewhere")
    if not all(is_module_base(base) for base in classes.bases(owner.cls)):
        attributes.insides(run, owner, Unknown(f"`{name}`, which is inherited from elsewhere, may use it"))
    if next((True for value in arguments.values() for _ in tensors(value)), False):
        return modules.mystery(run, f"`{name}` is inherited from elsewhere", arguments, node, scope)
    for value in arguments.values():
        run.escape(value, Unknown(f"it is passed to `{name}`"))
    return Unknown(f"`{name}` is inherited from elsewhere")


def store_anywhere(run: Run, owner: Instance, value: Value) -> None:
    """A layer is registered under a name that is not known."""
    why = Unknown("it is registered under a computed name")
    for layer in layers(value):
        run.escape(layer, why)
    if owner.children is not None:
        containers.add(run, owner.children, value)
    else:
        owner.dynamic = owner.dynamic or why


def _of_layer(run: Run, layer: Layer, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    if name == "eval":
        freeze(run, layer)
    if name in CONVENIENT:
        return layer
    if name == "forward":
        return modules.invoke(run, layer, arguments, node, scope)
    if name in QUIET or name in WALKS or name in ("extra_repr", "reset_parameters", "reset_running_stats"):
        return Unknown("it holds parameters")
    run.escape(layer, Unknown(f"`{name}` of it is used"))
    return modules.mystery(run, f"`{name}` of a layer is not followed", arguments, node, scope)


def freeze(run: Run, value: Value) -> None:
    """The class puts these layers into eval itself."""
    if run.freezing:
        for layer in layers(value):
            layer.training = False
