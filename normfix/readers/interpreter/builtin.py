"""Python's own functions, and the few of its library that matter when layers are built."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from normfix.graph import Unknown
from normfix.readers.interpreter import displays, modules
from normfix.readers.interpreter.arguments import Arguments
from normfix.readers.interpreter.joining import flat, join, tensors
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import Constant, Container, Fork, Items, Part, Repeat, Scope, Table, Value

_SILENT = frozenset(
    """print isinstance issubclass hasattr callable id repr type str float bool abs round format divmod any all len
    int hash open input vars property object ValueError RuntimeError TypeError AssertionError KeyError Exception
    NotImplementedError bytes""".split()
)
PLAIN: dict[str, Callable[..., object]] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "abs": abs,
    "round": round,
}
_LONGEST = 64


def invoke(run: Run, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    """The result of calling one of Python's own functions."""
    given = [passed.value for passed in arguments.positional]
    first = given[0] if given else None
    if name == "range":
        return _range(given)
    if name in ("list", "tuple", "reversed", "sorted", "iter", "set", "frozenset"):
        return _listed(run, name, first, node, scope)
    if name == "zip":
        return _zip(run, given, node, scope)
    if name == "enumerate" and first is not None:
        return _enumerate(displays.iterated(run, first, node, scope), arguments.get(1, "start") or Constant(0))
    if name == "map" and len(given) == 2:
        return displays.mapped(run, given[0], given[1], node, scope)
    if name == "dict":
        return dict_(run, first, arguments)
    if name in ("getattr", "setattr", "hasattr", "isinstance"):
        from normfix.readers.interpreter import reflection

        return reflection.invoke(run, name, arguments, node, scope)
    if name == "len" and isinstance(first, Constant) and isinstance(first.value, str):
        return Constant(len(first.value))
    if name == "len" and isinstance(items := first.items if isinstance(first, Container) else first, Items):
        plain = items.plain()
        return Constant(len(plain)) if plain is not None else Unknown("the length of a list is not known")
    if name in ("min", "max", "sum"):
        return _extreme(run, name, given, arguments, node, scope)
    if name in PLAIN and len(given) == 1 and isinstance(first, Constant):
        return _converted(name, first.value)
    if name in _SILENT:
        return Unknown("it is a computed value")
    if name == "next" and isinstance(first, Items):
        return join(flat(first.content)) if first.content else Unknown("the list is empty")
    return modules.mystery(run, f"`{name}` is not followed", arguments, node, scope)


def _converted(name: str, value: object) -> Value:
    try:
        return Constant(PLAIN[name](value))
    except (TypeError, ValueError, OverflowError):
        return Unknown("its conversion fails")


def _range(given: list[Value]) -> Value:
    numbers = [one.value for one in given if isinstance(one, Constant) and isinstance(one.value, int)]
    if len(numbers) == len(given) and 1 <= len(numbers) <= 3 and (len(numbers) < 3 or numbers[2]):
        counted = range(*numbers)
        if len(counted) <= _LONGEST:
            return Items([Constant(number) for number in counted], "tuple")
    return Items([Repeat([Unknown("it counts the rounds of a loop")])], "tuple")


def _listed(run: Run, name: str, first: Value | None, node: ast.AST, scope: Scope) -> Value:
    if first is None:
        return Items([])
    if isinstance(first, Unknown):
        return first
    items = displays.iterated(run, first, node, scope)
    content = list(items.content)
    if name in ("reversed", "sorted", "set", "frozenset"):
        plain = items.plain()
        content = list(reversed(plain)) if plain is not None and name == "reversed" else content
        if name != "reversed" or plain is None:
            content = [Repeat([join(flat(items.content))])] if content else []
    made = Items(content, "tuple" if name == "tuple" else "list")
    made.leaked = items.leaked
    return made


def _zip(run: Run, given: list[Value], node: ast.AST, scope: Scope) -> Value:
    columns = [displays.iterated(run, value, node, scope) for value in given]
    plains = [column.plain() for column in columns]
    if all(plain is not None for plain in plains):
        rows = zip(*(plain or [] for plain in plains), strict=False)
        return Items([Items([*row], "tuple") for row in rows])
    row = [join([*flat(column.content), *([column.leaked] if column.leaked else [])]) for column in columns]
    return Items([Repeat([Items([*row], "tuple")])])


def _enumerate(items: Items, start: Value) -> Value:
    plain = items.plain()
    if plain is not None and isinstance(start, Constant) and isinstance(start.value, int):
        return Items([Items([Constant(start.value + place), one], "tuple") for place, one in enumerate(plain)])
    numbered = Items(_numbered(items.content), items.kind)
    numbered.leaked = items.leaked
    return numbered


def _numbered(parts: Sequence[Part]) -> list[Part]:
    place = Unknown("it counts the rounds of a loop")
    found: list[Part] = []
    for part in parts:
        if isinstance(part, Fork):
            found.append(Fork([_numbered(alternative) for alternative in part.alternatives]))
        elif isinstance(part, Repeat):
            found.append(Repeat(_numbered(part.parts)))
        else:
            found.append(Items([place, part], "tuple"))
    return found


def dict_(run: Run, first: Value | None, arguments: Arguments) -> Value:
    """What `dict(first, ...)` makes."""
    table = Table({})
    if isinstance(first, Table):
        table.content.update(first.content)
        table.leaked = first.leaked
    elif isinstance(first, Items):
        fill_pairs(run, table, first)
    elif first is not None:
        table.leaked = Unknown("what the dict is made of is not known")
        run.escape(first, table.leaked)
    for name, passed in arguments.keywords.items():
        table.content[name] = passed.value
    table.leaked = table.leaked or arguments.incomplete
    return table


def fill_pairs(run: Run, table: Table, pairs: Items) -> None:
    """A dict made of (key, value) pairs."""
    plain = pairs.plain()
    for pair in plain or ():
        both = pair.plain() if isinstance(pair, Items) else None
        if both is not None and len(both) == 2 and isinstance(both[0], Constant):
            table.content[both[0].value] = both[1]
        else:
            plain = None
            break
    if plain is None:
        table.leaked = Unknown("what the dict is made of is not known")
        run.escape(pairs, table.leaked)


def _extreme(run: Run, name: str, given: list[Value], arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    if any(True for value in given for _ in tensors(value)):
        return run.operation("add" if name == "sum" else name, modules.inputs(run, arguments), node, scope, name)
    values = given[0].plain() if len(given) == 1 and isinstance(given[0], Items) else given
    numbers = [one.value for one in values or () if isinstance(one, Constant) and isinstance(one.value, (int, float))]
    if values and len(numbers) == len(values) and not arguments.keywords:
        return Constant(min(numbers) if name == "min" else max(numbers) if name == "max" else sum(numbers))
    return Unknown("it is a computed value")
