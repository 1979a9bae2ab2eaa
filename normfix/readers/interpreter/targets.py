"""Assignments to names, attributes, tuples and elements."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from normfix.graph import Argument, Call, Unknown
from normfix.readers.interpreter import (
    attributes,
    christening,
    containers,
    displays,
    expressions,
    operators,
    subscripts,
)
from normfix.readers.interpreter.forking import NORMAL
from normfix.readers.interpreter.joining import join, tensors
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import Choice, Constant, Container, Instance, Items, Repeat, Scope, Table, Value


def assign(run: Run, statement: ast.Assign, scope: Scope) -> int:
    value = expressions.evaluate(run, statement.value, scope)
    for target in statement.targets:
        switch = type(value) is Constant and type(value.value) is bool and _is_switch(target, statement, scope)
        bind(run, target, _switch() if switch else value, scope)
    return NORMAL


def _is_switch(target: ast.expr, statement: ast.Assign, scope: Scope) -> bool:
    """Is this `self.deploy = False` of a constructor: it stands there for others to set.

    Where no argument and no condition decides, a constant that is tested has another purpose: the other value.
    """
    function = scope.function.node if scope.function is not None else None
    return (
        isinstance(statement.value, ast.Constant)
        and isinstance(target, ast.Attribute)
        and isinstance(function, ast.FunctionDef)
        and function.name == "__init__"
        and statement in function.body
    )


def _switch() -> Value:
    return join([Constant(False), Constant(True)])


def annotated(run: Run, statement: ast.AnnAssign, scope: Scope) -> int:
    if statement.value is not None:
        bind(run, statement.target, expressions.evaluate(run, statement.value, scope), scope)
    return NORMAL


def bind(run: Run, target: ast.expr, value: Value, scope: Scope) -> None:
    """Assign a value to a target."""
    if isinstance(target, ast.Name):
        christening.christen(value, target.id)
        if target.id in scope.outer:
            run.escape(value, Unknown("it is kept in an outer scope"))
        run.assign(scope, target.id, value)
    elif isinstance(target, ast.Attribute):
        owner = expressions.evaluate(run, target.value, scope)
        attributes.write(run, owner, target.attr, value, scope)
        if not isinstance(owner, Instance):
            christening.christen(value, run.text(target, scope))
    elif isinstance(target, (ast.Tuple, ast.List)):
        _unpack(run, target.elts, value, target, scope)
    elif isinstance(target, ast.Subscript):
        _store(run, target, value, scope)
    elif isinstance(target, ast.Starred):
        bind(run, target.value, value, scope)


def _unpack(run: Run, targets: Sequence[ast.expr], value: Value, node: ast.AST, scope: Scope) -> None:
    plain = value.plain() if isinstance(value, Items) else None
    simple = not any(isinstance(target, ast.Starred) for target in targets)
    if plain is not None and simple and len(plain) == len(targets):
        for target, one in zip(targets, plain, strict=True):
            bind(run, target, one, scope)
        return
    tensor = run.tensor(value) if next(tensors(value), None) is not None else None
    for index, target in enumerate(targets):
        starred = isinstance(target, ast.Starred)
        if isinstance(tensor, Call):
            picked = run.operation("getitem", [tensor], node, scope)
            picked.layer.arguments = {} if starred else {"index": Argument(index)}
            part: Value = picked
        elif isinstance(value, Unknown):
            part = value
        else:
            part = subscripts.item(
                run, value, Unknown("the list is unpacked") if starred else Constant(index), node, scope
            )
        bind(run, target, Items([Repeat([part])]) if starred else part, scope)


def _store(run: Run, target: ast.Subscript, value: Value, scope: Scope) -> None:
    """`owner[index] = value`."""
    owner = expressions.evaluate(run, target.value, scope)
    index = expressions.evaluate(run, target.slice, scope)
    if isinstance(owner, (Call, Choice)) and isinstance(tensor := run.tensor(owner), Call):
        change(run, owner, run.operation("setitem", [tensor, *tensors(value)], target, scope), scope)
    elif isinstance(owner, Table) and isinstance(index, Constant) and isinstance(index.value, (str, int)):
        run.touch(owner)
        owner.content[index.value] = value
    elif isinstance(owner, Container) and _is_new(owner, index):
        containers.add(run, owner, value, index.value)  # type: ignore[union-attr]  # it is a constant, as just tested
    elif isinstance(owner, Items) and (place := _place_in(owner, index)) is not None:
        run.touch(owner)
        owner.content[place] = value
    else:
        why = Unknown("it is stored under an index that is not known")
        run.escape(value, why)
        if isinstance(owner, (Items, Table)):
            run.escape(owner, why)
        elif not isinstance(owner, Unknown):
            containers.unsettle(run, owner, why)


def _is_new(container: Container, index: Value) -> bool:
    """Does a ModuleDict have no layer under this key yet."""
    return (
        container.kind == "ModuleDict"
        and isinstance(index, Constant)
        and isinstance(index.value, str)
        and index.value not in container.table.content
    )


def _place_in(items: Items, index: Value) -> int | None:
    """The place that an index stands for in a list of known elements."""
    plain = items.plain()
    if plain is None or not isinstance(index, Constant) or not isinstance(index.value, int):
        return None
    return index.value if -len(plain) <= index.value < len(plain) else None


def change(run: Run, old: Value, new: Call, scope: Scope) -> None:
    """An operation in place: every name for the old tensor now stands for the new one."""
    at: Scope | None = scope
    while at is not None and at.parent is not None:
        for name, value in list(at.content.items()):
            if value is old:
                run.assign(at, name, new)
            elif isinstance(value, Items) and any(one is old for one in value.content):
                run.touch(value)
                value.content = [new if one is old else one for one in value.content]
        at = at.parent


def augmented(run: Run, statement: ast.AugAssign, scope: Scope) -> int:
    target = statement.target
    old = expressions.evaluate(run, target, scope)
    value = expressions.evaluate(run, statement.value, scope)
    if isinstance(old, Items) and old.kind != "tuple" and isinstance(statement.op, ast.Add):
        displays.extend(run, old, displays.iterated(run, value, statement.value, scope))
        return NORMAL
    if isinstance(old, Container) and isinstance(statement.op, ast.Add):
        containers.extend(run, old, displays.iterated(run, value, statement.value, scope))
        return NORMAL
    new = operators.operate(run, statement.op, old, value, statement, scope)
    if isinstance(new, Call) and isinstance(old, (Call, Choice)):
        change(run, old, new, scope)
    bind(run, target, new, scope)
    return NORMAL
