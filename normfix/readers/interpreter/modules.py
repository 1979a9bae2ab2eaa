"""Calling layers."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from normfix.graph import Call, Layer, Unknown
from normfix.readers.interpreter import attributes, calls, containers, derived, functions
from normfix.readers.interpreter.arguments import Arguments, Passed
from normfix.readers.interpreter.forking import NORMAL
from normfix.readers.interpreter.joining import children, join, layers, tensors
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import (
    MISSING,
    Choice,
    Constant,
    Container,
    Instance,
    Items,
    Scope,
    Submodule,
    Table,
    Value,
)


def call_module(run: Run, module: Value, values: Sequence[Value], node: ast.AST, scope: Scope) -> Value:
    """The result of calling a layer, a container or a block with these values by position."""
    passed = [Passed(value, None, index, scope) for index, value in enumerate(values)]
    return calls.invoke(run, module, Arguments(passed, {}), node, scope)


def invoke(run: Run, module: Layer | Container | Instance, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    """The result of calling a layer, a container or a block of the file."""
    if isinstance(module, Layer):
        return run.call(module, inputs(run, arguments), node, scope)
    if isinstance(module, Container):
        if module.kind != "Sequential" or not arguments.positional:
            return mystery(run, f"a {module.kind} is called", arguments, node, scope)
        return containers.run_sequential(run, module, arguments.positional[0].value, node, scope)
    return _invoke_instance(run, module, arguments, node, scope)


def _invoke_instance(run: Run, owner: Instance, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    if "forward" in owner.content:
        attributes.insides(run, owner, Unknown("its forward is replaced"))
        return mystery(run, "its forward is replaced", arguments, node, scope)
    forward = functions.forward_of(owner)
    if forward is not None:
        was, run.building = run.building, False
        try:
            result = functions.run_function(run, forward, arguments, node, owner)
        finally:
            run.building = was
        if isinstance(result, Unknown):
            return mystery(run, result.reason, arguments, node, scope)
        return result
    if owner.children is not None and owner.children.kind == "Sequential" and arguments.positional:
        return containers.run_sequential(run, owner.children, arguments.positional[0].value, node, scope)
    done = derived.called(run, owner, arguments, node, scope)
    if done is not None:
        return done
    why = f"the forward of `{owner.cls.node.name}` is not in this file"
    attributes.insides(run, owner, Unknown(why))
    return mystery(run, why, arguments, node, scope)


def mystery(run: Run, reason: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    """A call that is not understood: it reads its tensors, and its layers and lists escape."""
    why = Unknown(reason)
    found = False
    for value in arguments.values():
        for _ in tensors(value):
            found = True
        if not isinstance(value, Call):
            escape_but_tensors(run, value, why)
    return run.mystery(reason, inputs(run, arguments), node, scope) if found else why


def escape_but_tensors(run: Run, value: Value, why: Unknown) -> None:
    """Layers go out of sight; a tensor is merely read, unless it stands in a list that can be kept."""
    if isinstance(value, Choice) and all(isinstance(one, (Call, Unknown, Constant)) for one in value.options):
        return
    if isinstance(value, Items) and value.kind == "tuple" and all(isinstance(one, Call) for one in value.content):
        return
    run.escape(value, why)


def inputs(run: Run, arguments: Arguments) -> list[Call | Unknown]:
    """The tensors that a call reads, in order."""
    found: list[Call | Unknown] = []
    for value in arguments.values():
        tensor = value if isinstance(value, (Call, Unknown)) else run.tensor(value)
        if tensor is not None:
            found.append(tensor)
        elif isinstance(value, (Items, Table)):
            found += _inside(run, value)
            if value.leaked is not None:
                found.append(value.leaked)
        elif not isinstance(value, Constant):
            found.append(Unknown("it is not known to be a tensor"))
    if arguments.unread is not None:
        found.append(arguments.unread)
    return found


def _inside(run: Run, value: Items | Table) -> list[Call | Unknown]:
    """The tensors in a list: what `torch.cat` reads."""
    found: list[Call | Unknown] = []
    for one in children(value):
        tensor = run.tensor(one)
        if tensor is not None:
            found.append(tensor)
        elif isinstance(one, (Items, Table)):
            found += tensors(one)
    return found


def invoke_choice(run: Run, callee: Choice, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    """Call each of the things that the callee may be."""
    found: list[Value] = []

    def side(option: Value) -> int:
        found.append(calls.invoke(run, option, arguments, node, scope))
        return NORMAL

    able = [one for one in callee.options if one is not MISSING]
    able = [one for one in able if not (isinstance(one, Constant) and one.value is None)]
    if len(able) == 1:
        return calls.invoke(run, able[0], arguments, node, scope)
    run.fork([lambda option=option: side(option) for option in able])  # type: ignore[misc]
    return join(found)


def invoke_submodule(run: Run, module: Submodule, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    """A call of a layer that is picked out of all of them."""
    why = Unknown("it is called through a walk over all layers")
    for layer in layers(module.owner):
        run.escape(layer, why)
    return mystery(run, why.reason, arguments, node, scope)
