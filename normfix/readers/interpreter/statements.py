"""Statements: what each of them does to the names in scope."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from normfix.graph import Call, Unknown
from normfix.readers.interpreter import branches, containers, dispatch, expressions, targets
from normfix.readers.interpreter.forking import JUMP, NORMAL
from normfix.readers.interpreter.joining import tensors
from normfix.readers.interpreter.run import DEEPEST, Run
from normfix.readers.interpreter.scopes import imported
from normfix.readers.interpreter.values import Class, Constant, Dotted, Function, Scope, Value
from normfix.script import walk


def execute(run: Run, block: Sequence[ast.stmt], scope: Scope) -> int:
    """Run a block; how it may end."""
    flags = NORMAL
    for index, statement in enumerate(block):
        run.spend(1)
        if isinstance(statement, ast.If):
            rest = block[index + 1 :]
            if rest and (branches.leaves(statement.body) or branches.leaves(statement.orelse)) and run.depth < DEEPEST:
                return (flags & ~NORMAL) | branches.branch(run, statement, scope, rest)
        done = _statement(run, statement, scope)
        flags = (flags & ~NORMAL) | done
        if not done & NORMAL:
            break
    return flags


def _statement(run: Run, statement: ast.stmt, scope: Scope) -> int:
    handler = dispatch.statements_by_type().get(type(statement))
    if handler is None or run.depth > DEEPEST:
        expressions.lose(run, statement, scope, "it is nested too deeply" if handler else "its syntax is not followed")
        return NORMAL
    run.depth += 1
    try:
        return handler(run, statement, scope)
    finally:
        run.depth -= 1


def expression(run: Run, statement: ast.Expr, scope: Scope) -> int:
    if isinstance(statement.value, ast.Constant):
        return NORMAL
    value = expressions.evaluate(run, statement.value, scope)
    if isinstance(value, Call) and value.inputs and isinstance(value.inputs[0], Call) and _in_place(value):
        targets.change(run, value.inputs[0], value, scope)
    return NORMAL


def _in_place(call: Call) -> bool:
    """Would a call whose result is thrown away change its input."""
    inplace = call.layer.arguments.get("inplace")
    if inplace is not None:
        return inplace.value is not False
    return call.layer.incomplete is not None or call.layer.name.endswith("_")


def return_(run: Run, statement: ast.Return, scope: Scope) -> int:
    value = expressions.evaluate(run, statement.value, scope) if statement.value is not None else Constant(None)
    at: Scope | None = scope
    while at is not None and at.function is None:
        at = at.parent
    if at is not None:
        at.returns.append(value)
    else:
        run.escape(value, Unknown("it is returned"))
    return JUMP


def raise_(run: Run, statement: ast.Raise, scope: Scope) -> int:
    return 0


def jump(run: Run, statement: ast.stmt, scope: Scope) -> int:
    if isinstance(statement, ast.Break):
        for value in scope.content.values():
            for call in tensors(value):
                run.escape(call, Unknown("a loop may be left while it is alive"))
    return JUMP


def nothing(run: Run, statement: ast.stmt, scope: Scope) -> int:
    return NORMAL


def assert_(run: Run, statement: ast.Assert, scope: Scope) -> int:
    expressions.evaluate(run, statement.test, scope)
    branches.narrow(run, statement.test, True, scope)
    return NORMAL


def delete(run: Run, statement: ast.Delete, scope: Scope) -> int:
    for target in statement.targets:
        box, name = branches.place(target, scope)
        if box is not None:
            run.touch(box)
            box.content.pop(name, None)
        elif isinstance(target, ast.Subscript):
            owner = expressions.evaluate(run, target.value, scope)
            containers.unsettle(run, owner, Unknown("a part of it is deleted"))
    return NORMAL


def with_(run: Run, statement: ast.With | ast.AsyncWith, scope: Scope) -> int:
    for item in statement.items:
        value = expressions.evaluate(run, item.context_expr, scope)
        if item.optional_vars is not None:
            targets.bind(run, item.optional_vars, value, scope)
    return execute(run, statement.body, scope)


def try_(run: Run, statement: ast.Try, scope: Scope) -> int:
    def body() -> int:
        return execute(run, [*statement.body, *statement.orelse], scope)

    handlers = [lambda handler=handler: _handler(run, statement, handler, scope) for handler in statement.handlers]
    flags = run.fork([body, *handlers]) if handlers else body()
    if statement.finalbody:
        return (flags & JUMP) | execute(run, statement.finalbody, scope)
    return flags


def _handler(run: Run, statement: ast.Try, handler: ast.ExceptHandler, scope: Scope) -> int:
    """The handler runs after a part of the body. Of one that raises, nothing is left."""
    if isinstance(handler.body[-1], ast.Raise):
        return 0
    run.fork([lambda: execute(run, statement.body, scope) | NORMAL, lambda: NORMAL])
    return execute(run, handler.body, scope)


def match(run: Run, statement: ast.Match, scope: Scope) -> int:
    expressions.evaluate(run, statement.subject, scope)

    def case(index: int) -> int:
        for node in walk(statement.cases[index].pattern):
            name = getattr(node, "name", None) or getattr(node, "rest", None)
            if isinstance(name, str):
                run.assign(scope, name, Unknown("it is bound by a pattern"))
        return execute(run, statement.cases[index].body, scope)

    indices = range(len(statement.cases))
    return run.fork([*(lambda index=index: case(index) for index in indices), lambda: NORMAL])


def define(run: Run, statement: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> int:
    value: Value = Function(statement, scope)
    run.assign(scope, statement.name, value)
    return NORMAL


def define_class(run: Run, statement: ast.ClassDef, scope: Scope) -> int:
    run.assign(scope, statement.name, Class(statement, scope))
    return NORMAL


def import_(run: Run, statement: ast.Import | ast.ImportFrom, scope: Scope) -> int:
    for alias in statement.names:
        name = alias.asname or alias.name.partition(".")[0]
        if name != "*":
            run.assign(scope, name, Dotted(imported(statement, name)))
    return NORMAL


def outer(run: Run, statement: ast.Global | ast.Nonlocal, scope: Scope) -> int:
    why = Unknown("it belongs to an outer scope")
    for name in statement.names:
        at = scope.parent
        while at is not None and at.parent is not None:
            if name in at.content:
                run.escape(at.content[name], why)
                run.assign(at, name, why)
            at = at.parent
        run.assign(scope, name, why)
        scope.outer.add(name)
    return NORMAL
