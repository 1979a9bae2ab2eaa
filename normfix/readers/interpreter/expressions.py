"""Expressions -> values."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence

from normfix.graph import Call, Unknown
from normfix.readers.interpreter import attributes, calls, statements
from normfix.readers.interpreter.kinds import OPERATORS, SEVERAL
from normfix.readers.interpreter.run import DEEPEST, NORMAL, Run, is_none, truth
from normfix.readers.interpreter.scopes import lookup
from normfix.readers.interpreter.values import (
    MISSING,
    Choice,
    Constant,
    Container,
    Fork,
    Function,
    Instance,
    Items,
    Part,
    Repeat,
    Scope,
    Table,
    Value,
    compressed,
    flat,
    join,
    tensors,
)

_ARITHMETIC: dict[type[ast.operator], Callable[..., object]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
_COMPARISONS: dict[type[ast.cmpop], Callable[..., object]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}  # fmt: skip
_BIGGEST = 1 << 40


def evaluate(run: Run, node: ast.expr, scope: Scope) -> Value:
    """What an expression stands for. Whatever is not understood is `Unknown`, and what goes into it escapes."""
    run.spend(1)
    handler = _HANDLERS.get(type(node))
    if handler is None or run.depth > DEEPEST:
        return lose(run, node, scope, "it is nested too deeply" if handler else "its syntax is not followed")
    run.depth += 1
    try:
        return handler(run, node, scope)
    finally:
        run.depth -= 1


def lose(run: Run, node: ast.AST, scope: Scope, reason: str) -> Unknown:
    """Give an expression or a block up: every value that it names escapes."""
    why = Unknown(reason)
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            value = lookup(scope, part.id)
            if not isinstance(value, (Instance, Function)):
                run.escape(value, why)
        elif isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            owner = lookup(scope, part.value.id)
            if isinstance(owner, Instance):
                for found in attributes.anything(owner, part.attr):
                    run.escape(found, why)
    return why


def _constant(run: Run, node: ast.Constant, scope: Scope) -> Value:
    return Constant(node.value)


def _name(run: Run, node: ast.Name, scope: Scope) -> Value:
    return lookup(scope, node.id)


def _attribute(run: Run, node: ast.Attribute, scope: Scope) -> Value:
    return attributes.read(run, evaluate(run, node.value, scope), node.attr, node, scope)


def _call(run: Run, node: ast.Call, scope: Scope) -> Value:
    return calls.call(run, node, scope)


def _binary(run: Run, node: ast.BinOp, scope: Scope) -> Value:
    return operate(run, node.op, evaluate(run, node.left, scope), evaluate(run, node.right, scope), node, scope)


def operate(run: Run, op: ast.operator, left: Value, right: Value, node: ast.AST, scope: Scope) -> Value:
    """The result of a binary operator."""
    if any(True for value in (left, right) for _ in tensors(value)):
        return _tensor_operation(run, OPERATORS[type(op).__name__], [left, right], node, scope)
    if isinstance(left, Constant) and isinstance(right, Constant):
        return _arithmetic(op, left.value, right.value)
    if isinstance(left, Items) and isinstance(right, Items) and isinstance(op, ast.Add):
        added = Items(compressed([*left.content, *right.content]), left.kind)
        added.leaked = left.leaked or right.leaked
        return added
    if isinstance(op, ast.Mult):
        for one, other in ((left, right), (right, left)):
            if isinstance(one, Items):
                count = other.value if isinstance(other, Constant) else None
                if isinstance(count, int) and 0 <= count * len(one.content) <= 64:
                    return Items(one.content * count, one.kind)
                return Items([Repeat(one.content)], one.kind)
    return next((value for value in (left, right) if isinstance(value, Unknown)), Unknown("it is not a constant"))


def _arithmetic(op: ast.operator, left: object, right: object) -> Value:
    compute = _ARITHMETIC.get(type(op))
    numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
    if isinstance(op, ast.Pow) and isinstance(left, (int, float)) and isinstance(right, (int, float)):
        compute = operator.pow if abs(left) < 1024 and abs(right) < 16 else None
    if compute is None or not (numbers or (isinstance(left, str) and isinstance(right, str) and len(left) < 200)):
        return Unknown("it is not plain arithmetic")
    try:
        value = compute(left, right)
    except (ArithmeticError, TypeError, ValueError):
        return Unknown("its arithmetic fails")
    if isinstance(value, complex) or (isinstance(value, (int, float)) and abs(value) > _BIGGEST):
        return Unknown("its value is out of range")
    return Constant(value)


def _tensor_operation(run: Run, kind: str, values: Sequence[Value], node: ast.AST, scope: Scope) -> Call:
    inputs: list[Call | Unknown] = []
    for value in values:
        one = run.tensor(value)
        if one is not None:
            inputs.append(one)
        elif not isinstance(value, Constant):
            inputs += list(tensors(value)) or [Unknown("it is not known to be a tensor")]
    return run.operation(kind, inputs, node, scope)


def _unary(run: Run, node: ast.UnaryOp, scope: Scope) -> Value:
    value = evaluate(run, node.operand, scope)
    if isinstance(node.op, ast.Not):
        known = truth(value)
        return Constant(not known) if known is not None else Unknown("it is the negation of something unknown")
    if isinstance(value, (Call, Choice)) and next(tensors(value), None) is not None:
        return _tensor_operation(run, OPERATORS[type(node.op).__name__], [value], node, scope)
    if isinstance(value, Constant) and isinstance(value.value, (int, float)):
        if isinstance(node.op, ast.USub):
            return Constant(-value.value)
        if isinstance(node.op, ast.UAdd):
            return value
    return value if isinstance(value, Unknown) else Unknown("it is not a constant")


def _compare(run: Run, node: ast.Compare, scope: Scope) -> Value:
    values = [evaluate(run, part, scope) for part in (node.left, *node.comparators)]
    if len(values) == 2:
        return _comparison(run, node, values[0], values[1], scope)
    if any(next(tensors(value), None) is not None for value in values):
        return _tensor_operation(run, "lt", values, node, scope)
    return Unknown("it is a chain of comparisons")


def _comparison(run: Run, node: ast.Compare, left: Value, right: Value, scope: Scope) -> Value:
    op = node.ops[0]
    if isinstance(op, (ast.Is, ast.IsNot)):
        if isinstance(right, Constant) and right.value is None and (known := is_none(left)) is not None:
            return Constant(known == isinstance(op, ast.Is))
        return Unknown("it is not known to be None")
    if isinstance(op, (ast.In, ast.NotIn)):
        return _membership(left, right, isinstance(op, ast.In))
    if isinstance(left, Constant) and isinstance(right, Constant):
        try:
            return Constant(bool(_COMPARISONS[type(op)](left.value, right.value)))
        except TypeError:
            return Unknown("its comparison fails")
    if any(isinstance(value, Call) for value in (left, right)):
        return _tensor_operation(run, OPERATORS[type(op).__name__], [left, right], node, scope)
    return Unknown("it compares what is not known")


def _membership(left: Value, right: Value, inside: bool) -> Value:
    plain = right.plain() if isinstance(right, Items) else None
    if isinstance(left, Constant) and plain is not None and all(isinstance(one, Constant) for one in plain):
        found = any(isinstance(one, Constant) and one.value == left.value for one in plain)
        return Constant(found == inside)
    return Unknown("it compares what is not known")


def _boolean(run: Run, node: ast.BoolOp, scope: Scope) -> Value:
    """`a and b`, `a or b`: a later operand runs only where the earlier ones let it."""
    stop = isinstance(node.op, ast.Or)
    found: list[Value] = []

    def rest(index: int) -> int:
        for place in range(index, len(node.values)):
            value = evaluate(run, node.values[place], scope)
            known = truth(value)
            last = place == len(node.values) - 1
            if known is None and not last:
                found.append(value)
                return run.fork([lambda place=place: rest(place + 1), lambda: NORMAL])  # type: ignore[misc]
            if last or known is stop:
                found.append(value)
                break
        return NORMAL

    rest(0)
    return join(found)


def _conditional(run: Run, node: ast.IfExp, scope: Scope) -> Value:
    known = truth(evaluate(run, node.test, scope))
    if known is not None:
        return evaluate(run, node.body if known else node.orelse, scope)
    found: list[Value] = []

    def side(expression: ast.expr, taken: bool) -> int:
        statements.narrow(run, node.test, taken, scope)
        found.append(evaluate(run, expression, scope))
        return NORMAL

    run.fork([lambda: side(node.body, True), lambda: side(node.orelse, False)])
    return join(found)


def elements(run: Run, nodes: Sequence[ast.expr], scope: Scope) -> Items:
    """The elements of a list or tuple display, starred ones spread."""
    parts: list[Part] = []
    leaked: Unknown | None = None
    for node in nodes:
        if isinstance(node, ast.Starred):
            items = iterated(run, evaluate(run, node.value, scope), node, scope)
            parts += items.content
            leaked = leaked or items.leaked
        else:
            parts.append(evaluate(run, node, scope))
    items = Items(parts)
    items.leaked = leaked
    return items


def iterated(run: Run, value: Value, node: ast.AST, scope: Scope) -> Items:
    """What a loop over this value sees."""
    if isinstance(value, Items):
        return value
    if isinstance(value, Container):
        return value.items if value.kind != "ModuleDict" else Items([Constant(name) for name in value.table.content])
    if isinstance(value, Instance) and value.children is not None:
        return value.children.items
    if isinstance(value, Table):
        items = Items([Constant(key) for key in value.content])
        items.leaked = value.leaked
        return items
    if isinstance(value, Call):
        return Items([Repeat([run.operation("getitem", [value], node, scope)])])
    if isinstance(value, Choice) and all(isinstance(one, (Items, Container)) for one in value.options):
        return Items([Fork([list(iterated(run, one, node, scope).content) for one in value.options])])
    run.escape(value, Unknown("it is iterated in a way that is not followed"))
    unknown = Items([Repeat([Unknown("it comes from something that is not known")])])
    unknown.leaked = Unknown("what is iterated is not known")
    return unknown


def _list(run: Run, node: ast.List | ast.Set, scope: Scope) -> Value:
    return elements(run, node.elts, scope)


def _tuple(run: Run, node: ast.Tuple, scope: Scope) -> Value:
    items = elements(run, node.elts, scope)
    items.kind = "tuple"
    return items


def _dict(run: Run, node: ast.Dict, scope: Scope) -> Value:
    table = Table({})
    for key, value in zip(node.keys, node.values, strict=True):
        found = evaluate(run, value, scope)
        if key is None:
            _spread(run, table, found)
            continue
        name = evaluate(run, key, scope)
        if isinstance(name, Constant):
            table.content[name.value] = found
        else:
            table.leaked = Unknown("a key of the dict is not known")
            run.escape(found, table.leaked)
    return table


def _spread(run: Run, table: Table, found: Value) -> None:
    if isinstance(found, Table):
        table.content.update(found.content)
        table.leaked = table.leaked or found.leaked
    else:
        table.leaked = Unknown("what is spread into the dict is not known")
        run.escape(found, table.leaked)


def _subscript(run: Run, node: ast.Subscript, scope: Scope) -> Value:
    value = evaluate(run, node.value, scope)
    if isinstance(node.slice, ast.Slice):
        bounds = [evaluate(run, part, scope) if part else Constant(None) for part in _bounds(node.slice)]
        return _sliced(run, value, bounds, node, scope)
    index = evaluate(run, node.slice, scope)
    return item(run, value, index, node, scope)


def _bounds(part: ast.Slice) -> tuple[ast.expr | None, ast.expr | None, ast.expr | None]:
    return part.lower, part.upper, part.step


def _slice(run: Run, node: ast.Slice, scope: Scope) -> Value:
    for part in _bounds(node):
        if part is not None:
            evaluate(run, part, scope)
    return Unknown("it is a slice")


def _sliced(run: Run, value: Value, bounds: list[Value], node: ast.AST, scope: Scope) -> Value:
    if isinstance(value, (Call, Choice)) and (tensor := run.tensor(value)) is not None and isinstance(tensor, Call):
        return run.operation("slice", [tensor], node, scope)
    items = value.items if isinstance(value, Container) else value
    if isinstance(value, Instance) and value.children is not None:
        items = value.children.items
    if isinstance(items, Items):
        plain = items.plain()
        places = [one.value for one in bounds if isinstance(one, Constant)]
        numbers = [place for place in places if place is None or isinstance(place, int)]
        if plain is not None and len(numbers) == 3:
            part = Items([*plain[slice(*numbers)]], items.kind)
        else:
            part = Items([Repeat([join(flat(items.content))])], items.kind) if items.content else Items([])
            part.leaked = items.leaked
        return Container(value.kind, part, Table({}), node, scope) if isinstance(value, Container) else part
    return value if isinstance(value, Unknown) else Unknown("it is a part of something that is not known")


def item(run: Run, value: Value, index: Value, node: ast.AST, scope: Scope) -> Value:
    """`value[index]`."""
    if isinstance(value, Choice):
        if next(tensors(value), None) is None:
            return join(item(run, option, index, node, scope) for option in value.options if option is not MISSING)
        tensor = run.tensor(value)
        value = tensor if isinstance(tensor, Call) else Unknown("it is not known to be a tensor")
    if isinstance(value, Call):
        inputs = [value, *tensors(index)]
        picks = value.kind in SEVERAL or (value.kind in ("unknown", "input") and isinstance(index, Constant))
        return run.operation("getitem" if picks else "slice", inputs, node, scope)
    if isinstance(value, Instance) and value.children is not None:
        value = value.children
    if isinstance(value, Container) and value.kind == "ModuleDict":
        value = value.table
    if isinstance(value, Table):
        return _entry(value, index)
    items = value.items if isinstance(value, Container) else value
    if isinstance(items, Items):
        return _element(items, index)
    return value if isinstance(value, Unknown) else Unknown("it is a part of something that is not known")


def _entry(table: Table, index: Value) -> Value:
    if isinstance(index, Constant) and _hashable(index.value) and index.value in table.content:
        return table.content[index.value]
    found = list(table.content.values())
    if isinstance(index, Constant) or table.leaked is not None:
        found.append(table.leaked or Unknown("the dict has no such key"))
    return join(found)


def _hashable(value: object) -> bool:
    return value is None or isinstance(value, (int, float, str, bool, bytes))


def _element(items: Items, index: Value) -> Value:
    plain = items.plain()
    if plain is not None and isinstance(index, Constant) and isinstance(index.value, int):
        place = index.value
        return plain[place] if -len(plain) <= place < len(plain) else Unknown("the list is shorter")
    found = list(flat(items.content))
    if items.leaked is not None:
        found.append(items.leaked)
    return join(found)


def _comprehension(run: Run, node: ast.ListComp | ast.GeneratorExp | ast.SetComp, scope: Scope) -> Value:
    inner = Scope(scope, scope.script, scope.owner)
    found = Items([], "generated")

    def add() -> int:
        value = evaluate(run, node.elt, inner)
        run.touch(found)
        found.content.append(value)
        return NORMAL

    _generate(run, node.generators, inner, add)
    return found


def _dict_comprehension(run: Run, node: ast.DictComp, scope: Scope) -> Value:
    inner = Scope(scope, scope.script, scope.owner)
    table = Table({})

    def add() -> int:
        key, value = evaluate(run, node.key, inner), evaluate(run, node.value, inner)
        if isinstance(key, Constant) and _hashable(key.value):
            run.touch(table)
            table.content[key.value] = value
        else:
            table.leaked = Unknown("a key of the dict is not known")
            run.touch(table)
            table.content[id(node)] = join([value, table.content.get(id(node), value)])
        return NORMAL

    _generate(run, node.generators, inner, add)
    return table


def _generate(run: Run, generators: list[ast.comprehension], inner: Scope, add: Callable[[], int]) -> None:
    def level(index: int) -> int:
        if index == len(generators):
            return add()
        generator = generators[index]
        items = iterated(run, evaluate(run, generator.iter, inner), generator.iter, inner)

        def body(value: Value) -> int:
            statements.bind(run, generator.target, value, inner)
            tests = [truth(evaluate(run, test, inner)) for test in generator.ifs]
            if False in tests:
                return NORMAL
            if None in tests:
                return run.fork([lambda: level(index + 1), lambda: NORMAL])
            return level(index + 1)

        return statements.each(run, items, body, lambda name: False)

    level(0)


def _lambda(run: Run, node: ast.Lambda, scope: Scope) -> Value:
    return Function(node, scope)


def _formatted(run: Run, node: ast.JoinedStr, scope: Scope) -> Value:
    text = ""
    known = True
    for part in node.values:
        value = evaluate(run, part.value if isinstance(part, ast.FormattedValue) else part, scope)
        plain = isinstance(value, Constant) and isinstance(value.value, (str, int))
        known = known and plain and not (isinstance(part, ast.FormattedValue) and part.format_spec)
        text += str(value.value) if isinstance(value, Constant) else ""
    return Constant(text) if known else Unknown("it is a computed string")


def _named(run: Run, node: ast.NamedExpr, scope: Scope) -> Value:
    value = evaluate(run, node.value, scope)
    statements.bind(run, node.target, value, scope)
    return value


def _starred(run: Run, node: ast.Starred, scope: Scope) -> Value:
    return evaluate(run, node.value, scope)


def _yielded(run: Run, node: ast.Yield | ast.YieldFrom | ast.Await, scope: Scope) -> Value:
    value = evaluate(run, node.value, scope) if node.value is not None else Constant(None)
    run.escape(value, Unknown("it is yielded"))
    return Unknown("it comes from outside")


_HANDLERS: dict[type[ast.AST], Callable[..., Value]] = {
    ast.Constant: _constant, ast.Name: _name, ast.Attribute: _attribute, ast.Call: _call, ast.BinOp: _binary,
    ast.UnaryOp: _unary, ast.Compare: _compare, ast.BoolOp: _boolean, ast.IfExp: _conditional, ast.List: _list,
    ast.Set: _list, ast.Tuple: _tuple, ast.Dict: _dict, ast.Subscript: _subscript, ast.Slice: _slice,
    ast.ListComp: _comprehension, ast.GeneratorExp: _comprehension, ast.SetComp: _comprehension,
    ast.DictComp: _dict_comprehension, ast.Lambda: _lambda, ast.JoinedStr: _formatted, ast.NamedExpr: _named,
    ast.Starred: _starred, ast.Yield: _yielded, ast.YieldFrom: _yielded, ast.Await: _yielded,
}  # fmt: skip
