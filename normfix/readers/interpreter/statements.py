"""Statements: assignments, branches and loops."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from normfix.graph import Call, Unknown
from normfix.readers.interpreter import attributes, calls, expressions
from normfix.readers.interpreter.run import DEEPEST, JUMP, NORMAL, Run, is_none, truth
from normfix.readers.interpreter.scopes import imported, lookup
from normfix.readers.interpreter.values import (
    MISSING,
    Choice,
    Class,
    Constant,
    Dotted,
    Fork,
    Function,
    Instance,
    Items,
    Part,
    Repeat,
    Scope,
    Table,
    Value,
    flat,
    join,
    tensors,
)

UNROLLED = 8
"""A loop over this many known elements or fewer is run for each of them."""
_JUMPS = (ast.Return, ast.Raise, ast.Continue, ast.Break)


def execute(run: Run, block: Sequence[ast.stmt], scope: Scope) -> int:
    """Run a block; how it may end."""
    flags = NORMAL
    for index, statement in enumerate(block):
        run.spend(1)
        if isinstance(statement, ast.If):
            rest = block[index + 1 :]
            if rest and (_leaves(statement.body) or _leaves(statement.orelse)) and run.depth < DEEPEST:
                return (flags & ~NORMAL) | _branch(run, statement, scope, rest)
        done = _statement(run, statement, scope)
        flags = (flags & ~NORMAL) | done
        if not done & NORMAL:
            break
    return flags


def _leaves(block: Sequence[ast.stmt]) -> bool:
    """Does this block always jump away from what follows it."""
    last = block[-1] if block else None
    while isinstance(last, ast.If) and last.orelse:
        if not _leaves(last.body):
            return False
        last = last.orelse[-1]
    return isinstance(last, _JUMPS)


def _statement(run: Run, statement: ast.stmt, scope: Scope) -> int:
    handler = _HANDLERS.get(type(statement))
    if handler is None or run.depth > DEEPEST:
        expressions.lose(run, statement, scope, "it is nested too deeply" if handler else "its syntax is not followed")
        return NORMAL
    run.depth += 1
    try:
        return handler(run, statement, scope)
    finally:
        run.depth -= 1


def _if(run: Run, statement: ast.If, scope: Scope) -> int:
    return _branch(run, statement, scope, ())


def _branch(run: Run, statement: ast.If, scope: Scope, rest: Sequence[ast.stmt]) -> int:
    """An `if`, with what follows it moved into the side that gets there."""
    known = truth(expressions.evaluate(run, statement.test, scope))

    def side(block: Sequence[ast.stmt], taken: bool | None) -> int:
        if taken is not None:
            narrow(run, statement.test, taken, scope)
        run.depth += 1
        try:
            flags = execute(run, block, scope)
            if flags & NORMAL and rest:
                flags = (flags & ~NORMAL) | execute(run, rest, scope)
        finally:
            run.depth -= 1
        return flags

    if known is not None:
        return side(statement.body if known else statement.orelse, None)
    return run.fork([lambda: side(statement.body, True), lambda: side(statement.orelse, False)])


def narrow(run: Run, test: ast.expr, taken: bool, scope: Scope) -> None:
    """Keep, of a value that the test looks at, what the side taken leaves possible."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        narrow(run, test.operand, not taken, scope)
    elif isinstance(test, ast.BoolOp):
        if taken == isinstance(test.op, ast.And):
            for part in test.values:
                narrow(run, part, taken, scope)
    elif isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], (ast.Is, ast.IsNot)):
        right = test.comparators[0]
        if isinstance(right, ast.Constant) and right.value is None:
            wanted = taken == isinstance(test.ops[0], ast.Is)
            _keep(run, test.left, scope, lambda value: is_none(value) is not (not wanted))
    elif isinstance(test, (ast.Name, ast.Attribute)):
        _keep(run, test, scope, lambda value: truth(value) is not (not taken))


def _keep(run: Run, node: ast.expr, scope: Scope, possible: Callable[[Value], bool]) -> None:
    box, name = _place(node, scope)
    value = box.content.get(name) if box is not None else None
    if box is not None and isinstance(value, Choice):
        left = [option for option in value.options if option is not MISSING and possible(option)]
        if left and len(left) < len(value.options):
            run.assign(box, name, join(left))


def _place(node: ast.expr, scope: Scope) -> tuple[Scope | Instance | None, str]:
    """The scope or object that holds a name or an attribute."""
    if isinstance(node, ast.Name):
        at: Scope | None = scope
        while at is not None and at.parent is not None:
            if node.id in at.content:
                return at, node.id
            at = at.parent
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        owner = lookup(scope, node.value.id)
        if isinstance(owner, Instance):
            return owner, node.attr
    return None, ""


def _assign(run: Run, statement: ast.Assign, scope: Scope) -> int:
    value = expressions.evaluate(run, statement.value, scope)
    for target in statement.targets:
        bind(run, target, value, scope)
    return NORMAL


def _annotated(run: Run, statement: ast.AnnAssign, scope: Scope) -> int:
    if statement.value is not None:
        bind(run, statement.target, expressions.evaluate(run, statement.value, scope), scope)
    return NORMAL


def bind(run: Run, target: ast.expr, value: Value, scope: Scope) -> None:
    """Assign a value to a target."""
    if isinstance(target, ast.Name):
        calls.christen(value, target.id)
        if target.id in scope.outer:
            run.escape(value, Unknown("it is kept in an outer scope"))
        run.assign(scope, target.id, value)
    elif isinstance(target, ast.Attribute):
        attributes.write(run, expressions.evaluate(run, target.value, scope), target.attr, value, scope)
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
            part: Value = run.operation("getitem", [tensor], node, scope)
        elif isinstance(value, Unknown):
            part = value
        else:
            part = expressions.item(
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
    elif isinstance(owner, Items) and (place := _place_in(owner, index)) is not None:
        run.touch(owner)
        owner.content[place] = value
    else:
        why = Unknown("it is stored under an index that is not known")
        run.escape(value, why)
        if isinstance(owner, (Items, Table)):
            run.escape(owner, why)
        elif not isinstance(owner, Unknown):
            calls.unsettle(run, owner, why)


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


def _augmented(run: Run, statement: ast.AugAssign, scope: Scope) -> int:
    target = statement.target
    old = expressions.evaluate(run, target, scope)
    value = expressions.evaluate(run, statement.value, scope)
    if isinstance(old, Items) and old.kind != "tuple" and isinstance(statement.op, ast.Add):
        calls.extend(run, old, expressions.iterated(run, value, statement.value, scope))
        return NORMAL
    new = expressions.operate(run, statement.op, old, value, statement, scope)
    if isinstance(new, Call) and isinstance(old, (Call, Choice)):
        change(run, old, new, scope)
    bind(run, target, new, scope)
    return NORMAL


def _expression(run: Run, statement: ast.Expr, scope: Scope) -> int:
    if isinstance(statement.value, ast.Constant):
        return NORMAL
    value = expressions.evaluate(run, statement.value, scope)
    if isinstance(value, Call) and value.inputs and isinstance(value.inputs[0], Call) and _in_place(value):
        change(run, value.inputs[0], value, scope)
    return NORMAL


def _in_place(call: Call) -> bool:
    """Would a call whose result is thrown away change its input."""
    inplace = call.layer.arguments.get("inplace")
    if inplace is not None:
        return inplace.value is not False
    return call.layer.incomplete is not None or call.layer.name.endswith("_")


def _return(run: Run, statement: ast.Return, scope: Scope) -> int:
    value = expressions.evaluate(run, statement.value, scope) if statement.value is not None else Constant(None)
    at: Scope | None = scope
    while at is not None and at.function is None:
        at = at.parent
    if at is not None:
        at.returns.append(value)
    else:
        run.escape(value, Unknown("it is returned"))
    return JUMP


def _raise(run: Run, statement: ast.Raise, scope: Scope) -> int:
    return 0


def _jump(run: Run, statement: ast.stmt, scope: Scope) -> int:
    if isinstance(statement, ast.Break):
        for value in scope.content.values():
            for call in tensors(value):
                run.escape(call, Unknown("a loop may be left while it is alive"))
    return JUMP


def _nothing(run: Run, statement: ast.stmt, scope: Scope) -> int:
    return NORMAL


def _assert(run: Run, statement: ast.Assert, scope: Scope) -> int:
    expressions.evaluate(run, statement.test, scope)
    narrow(run, statement.test, True, scope)
    return NORMAL


def _delete(run: Run, statement: ast.Delete, scope: Scope) -> int:
    for target in statement.targets:
        box, name = _place(target, scope)
        if box is not None:
            run.touch(box)
            box.content.pop(name, None)
        elif isinstance(target, ast.Subscript):
            owner = expressions.evaluate(run, target.value, scope)
            calls.unsettle(run, owner, Unknown("a part of it is deleted"))
    return NORMAL


def _for(run: Run, statement: ast.For | ast.AsyncFor, scope: Scope) -> int:
    items = expressions.iterated(run, expressions.evaluate(run, statement.iter, scope), statement.iter, scope)

    def body(value: Value) -> int:
        bind(run, statement.target, value, scope)
        return execute(run, statement.body, scope)

    flags = each(run, items, body, run.rounds(statement).carries, lambda: _forget(run, statement, scope))
    after = execute(run, statement.orelse, scope) if statement.orelse else NORMAL
    return (flags & JUMP) | after


def each(
    run: Run,
    items: Items,
    body: Callable[[Value], int],
    carried: Callable[[str], bool],
    forget: Callable[[], None] = lambda: None,
) -> int:
    """Run a loop's body over every element that a list may hold."""
    plain = items.plain()
    if plain is not None and len(plain) <= UNROLLED:
        flags = 0
        for value in plain:
            flags |= body(value)
        return flags | NORMAL
    if plain is None and items.leaked is None and _shallow(items.content):
        return _in_order(run, items.content, body, carried, forget)
    every = join(_any(items))

    def once() -> int:
        forget()
        return body(every)

    return run.repeat(once, carried)


def _shallow(parts: Sequence[Part]) -> bool:
    """Are there few enough parts to run the body over each."""
    count, stack = 0, list(parts)
    while stack and count <= 3 * UNROLLED:
        part = stack.pop()
        count += 1
        if isinstance(part, Fork):
            stack += [one for alternative in part.alternatives for one in alternative]
        elif isinstance(part, Repeat):
            stack += part.parts
    return count <= 3 * UNROLLED


def _any(items: Items) -> list[Value]:
    found = list(flat(items.content))
    return [*found, items.leaked] if items.leaked is not None else found


def _in_order(
    run: Run,
    parts: Sequence[Part],
    body: Callable[[Value], int],
    carried: Callable[[str], bool],
    forget: Callable[[], None],
) -> int:
    flags = 0
    for part in parts:
        if isinstance(part, Fork):
            flags |= run.fork(
                [
                    lambda alternative=alternative: _in_order(run, alternative, body, carried, forget) | NORMAL  # type: ignore[misc]
                    for alternative in part.alternatives
                ]
            )
        elif isinstance(part, Repeat):

            def once(inner: Sequence[Part] = part.parts) -> int:
                forget()
                return _in_order(run, inner, body, carried, forget)

            flags |= run.repeat(once, carried)
        else:
            flags |= body(part)
    return flags | NORMAL


def _while(run: Run, statement: ast.While, scope: Scope) -> int:
    def once() -> int:
        _forget(run, statement, scope)
        expressions.evaluate(run, statement.test, scope)
        return execute(run, statement.body, scope)

    flags = run.repeat(once, run.rounds(statement).carries)
    after = execute(run, statement.orelse, scope) if statement.orelse else NORMAL
    return (flags & JUMP) | after


def _forget(run: Run, statement: ast.For | ast.AsyncFor | ast.While, scope: Scope) -> None:
    """At the head of a loop, what the body assigns may come from the round before."""
    previous = Unknown("the round before may have changed it")
    for name in run.rounds(statement).assigned:
        value = scope.content.get(name)
        if value is None or isinstance(value, (Items, Table, Unknown)):
            if isinstance(value, Items) and value.kind == "tuple":
                run.assign(scope, name, previous)
        elif isinstance(value, Constant) and value.value is not None:
            run.assign(scope, name, previous)
        else:
            run.assign(scope, name, join([value, previous]))
    for node in run.rounds(statement).attributes:
        box, name = _place(node, scope)
        if isinstance(box, Instance) and name in box.content and not isinstance(box.content[name], (Items, Table)):
            run.assign(box, name, join([box.content[name], previous]))


def _with(run: Run, statement: ast.With | ast.AsyncWith, scope: Scope) -> int:
    for item in statement.items:
        value = expressions.evaluate(run, item.context_expr, scope)
        if item.optional_vars is not None:
            bind(run, item.optional_vars, value, scope)
    return execute(run, statement.body, scope)


def _try(run: Run, statement: ast.Try, scope: Scope) -> int:
    def body() -> int:
        return execute(run, [*statement.body, *statement.orelse], scope)

    handlers = [lambda handler=handler: _handler(run, statement, handler, scope) for handler in statement.handlers]
    flags = run.fork([body, *handlers]) if handlers else body()
    if statement.finalbody:
        return (flags & JUMP) | execute(run, statement.finalbody, scope)
    return flags


def _handler(run: Run, statement: ast.Try, handler: ast.ExceptHandler, scope: Scope) -> int:
    """The handler runs after a part of the body."""
    run.fork([lambda: execute(run, statement.body, scope) | NORMAL, lambda: NORMAL])
    return execute(run, handler.body, scope)


def _match(run: Run, statement: ast.Match, scope: Scope) -> int:
    expressions.evaluate(run, statement.subject, scope)

    def case(index: int) -> int:
        for node in ast.walk(statement.cases[index].pattern):
            name = getattr(node, "name", None) or getattr(node, "rest", None)
            if isinstance(name, str):
                run.assign(scope, name, Unknown("it is bound by a pattern"))
        return execute(run, statement.cases[index].body, scope)

    indices = range(len(statement.cases))
    return run.fork([*(lambda index=index: case(index) for index in indices), lambda: NORMAL])


def _define(run: Run, statement: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> int:
    value: Value = Function(statement, scope)
    run.assign(scope, statement.name, value)
    return NORMAL


def _define_class(run: Run, statement: ast.ClassDef, scope: Scope) -> int:
    run.assign(scope, statement.name, Class(statement, scope))
    return NORMAL


def _import(run: Run, statement: ast.Import | ast.ImportFrom, scope: Scope) -> int:
    for alias in statement.names:
        name = alias.asname or alias.name.partition(".")[0]
        if name != "*":
            run.assign(scope, name, Dotted(imported(statement, name)))
    return NORMAL


def _outer(run: Run, statement: ast.Global | ast.Nonlocal, scope: Scope) -> int:
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


_HANDLERS: dict[type[ast.stmt], Callable[..., int]] = {
    ast.If: _if, ast.Assign: _assign, ast.AnnAssign: _annotated, ast.AugAssign: _augmented, ast.Expr: _expression,
    ast.Return: _return, ast.Raise: _raise, ast.Continue: _jump, ast.Break: _jump, ast.Pass: _nothing,
    ast.Assert: _assert, ast.Delete: _delete, ast.For: _for, ast.AsyncFor: _for, ast.While: _while, ast.With: _with,
    ast.AsyncWith: _with, ast.Try: _try, ast.Match: _match, ast.FunctionDef: _define, ast.AsyncFunctionDef: _define,
    ast.ClassDef: _define_class, ast.Import: _import, ast.ImportFrom: _import, ast.Global: _outer,
    ast.Nonlocal: _outer,
}  # fmt: skip
