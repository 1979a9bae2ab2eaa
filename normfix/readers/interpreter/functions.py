"""Calling functions and constructing objects of the file, inlined."""

from __future__ import annotations

import ast

from normfix.graph import Unknown
from normfix.readers.interpreter import christening, classes, containers, expressions, signatures, statements
from normfix.readers.interpreter.arguments import Arguments
from normfix.readers.interpreter.forking import NORMAL
from normfix.readers.interpreter.joining import join
from normfix.readers.interpreter.run import DEEPEST, Run
from normfix.readers.interpreter.values import NONE, Class, Container, Function, Instance, Items, Scope, Table, Value

NESTED = 1
"""Objects of the file that are followed into each other."""
INLINED = 8
"""Functions of the file that are followed into each other."""


def run_function(
    run: Run, function: Function, arguments: Arguments, node: ast.AST, receiver: Instance | None = None
) -> Value:
    """The value that a function of the file returns, its body run with these arguments."""
    body = function.node
    if body in run.stack or len(run.stack) >= INLINED or run.depth > DEEPEST - 15:
        why = Unknown("it calls itself" if body in run.stack else "it calls functions nested too deeply")
        return abandon(run, arguments, why, function, receiver)
    scope = Scope(function.scope, function.scope.script, _owner(function, receiver))
    scope.function, scope.receiver = function, receiver
    if not signatures.bind(run, function, arguments, scope, receiver):
        return abandon(run, arguments, Unknown("its arguments do not fit its parameters"), function, receiver)
    run.stack.append(body)
    run.visited.add(body)
    if run.is_generator(function):
        scope.yields = Items([], "generated")
    try:
        if isinstance(body, ast.Lambda):
            return expressions.evaluate(run, body.body, scope)
        flags = statements.execute(run, body.body, scope)
    finally:
        run.stack.pop()
    if scope.yields is not None:
        return scope.yields
    if flags & NORMAL:
        scope.returns.append(NONE)
    return join(scope.returns) if scope.returns else Unknown("it never returns")


def abandon(
    run: Run, arguments: Arguments, why: Unknown, function: Function | None = None, receiver: Instance | None = None
) -> Unknown:
    """A call that is not followed: what it was given escapes, and what the function uses."""
    for value in arguments.values():
        run.escape(value, why)
    if function is not None and (receiver is None or run.is_own(receiver)):
        for value in run.mentioned(function, function.scope, receiver):
            run.escape(value, why)
    return why


def _owner(function: Function, receiver: Instance | None) -> str:
    if function.home is not None:
        return function.home.node.name
    return function.scope.owner or getattr(function.node, "name", "")


def construct(run: Run, cls: Class, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    """An object of a class of the file."""
    if len(run.receivers) > NESTED:
        return abandon(run, arguments, Unknown(f"`{cls.node.name}` is a block nested too deeply"))
    owner = Instance(cls)
    prepare(owner)
    initialise = initialiser(cls)
    if initialise is None:
        for value in arguments.values():
            run.escape(value, Unknown(f"`{cls.node.name}` is constructed by a class that is not in this file"))
        if owner.children is not None:
            fill(run, owner, arguments, node, scope)
        return owner
    if initialise.node in run.stack:
        return abandon(run, arguments, Unknown("its constructor constructs itself"))
    was = run.building
    run.building = True
    run.receivers.append(owner)
    try:
        result = run_function(run, initialise, arguments, node, owner)
    finally:
        run.building = was
        run.receivers.pop()
    if isinstance(result, Unknown):
        owner.dynamic = result
    return owner


def prepare(owner: Instance) -> None:
    """A subclass of nn.Sequential, ModuleList or ModuleDict holds children of its own."""
    for base in classes.bases(owner.cls):
        head, _, last = base.rpartition(".")
        if head.startswith("torch.nn") and last in ("Sequential", "ModuleList", "ModuleDict"):
            owner.children = Container(last, Items([]), Table({}), owner.cls.node, owner.cls.scope)


def fill(run: Run, owner: Instance, arguments: Arguments, node: ast.AST, scope: Scope) -> None:
    """`super().__init__(*layers)` of a subclass of a container."""
    if owner.children is not None:
        made = containers.build(run, owner.children.kind, arguments, node, scope)
        made.handed = True
        christening.christen(made, "self")
        for part in made.items.content:
            run.touch(owner.children.items)
            owner.children.items.content.append(part)
        owner.children.items.leaked = owner.children.items.leaked or made.items.leaked
        owner.children.table.content.update(made.table.content)


def initialiser(cls: Class) -> Function | None:
    """The constructor of a class, where it is in the file."""
    for home in classes.lineage(cls):
        found = classes.member(home, "__init__")
        if isinstance(found, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return Function(found, home.scope, home)
    return None


def forward_of(owner: Instance) -> Function | None:
    """The forward of an object of the file; None where it is inherited from elsewhere."""
    for name in ("forward", "__call__"):
        for home in classes.lineage(owner.cls):
            found = classes.member(home, name)
            if isinstance(found, (ast.FunctionDef, ast.AsyncFunctionDef)):
                return Function(found, home.scope, home)
    return None


def enter(run: Run, function: Function, owner: Instance, values: dict[str, Value]) -> Scope:
    """Run a method's body with these values for its parameters."""
    home = function.home.node.name if function.home is not None else ""
    scope = Scope(function.scope, function.scope.script, home)
    scope.function, scope.receiver = function, owner
    scope.content.update(values)
    names = [argument.arg for argument in (*function.node.args.posonlyargs, *function.node.args.args)]
    if names:
        scope.content[names[0]] = owner
    run.stack.append(function.node)
    run.visited.add(function.node)
    body = function.node.body
    if isinstance(body, list):
        statements.execute(run, body, scope)
    run.stack.pop()
    return scope
