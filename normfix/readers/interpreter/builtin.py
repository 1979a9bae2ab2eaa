"""Python's own functions, and the few of its library that matter when layers are built."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from normfix.graph import Call, Layer, Unknown
from normfix.readers.interpreter import attributes, displays, methods, modules
from normfix.readers.interpreter.arguments import Arguments, Passed
from normfix.readers.interpreter.joining import flat, join, options, tensors
from normfix.readers.interpreter.kinds import constructed
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import (
    MISSING,
    NONE,
    Choice,
    Class,
    Constant,
    Container,
    Dotted,
    Fork,
    Function,
    Instance,
    Items,
    Part,
    Partial,
    Repeat,
    Scope,
    Submodule,
    Table,
    Value,
)

_SILENT = frozenset(
    """print isinstance issubclass hasattr callable id repr type str float bool abs round format divmod any all len
    int hash open input vars property object ValueError RuntimeError TypeError AssertionError KeyError Exception
    NotImplementedError bytes""".split()
)
_PLAIN: dict[str, Callable[..., object]] = {
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
        return _dict(run, first, arguments)
    if name in ("getattr", "setattr"):
        return _attribute(run, name, arguments, node, scope)
    if name == "hasattr":
        return _has(given)
    if name == "isinstance":
        return _is_instance(given)
    if name == "len" and isinstance(first, Constant) and isinstance(first.value, str):
        return Constant(len(first.value))
    if name == "len" and isinstance(items := first.items if isinstance(first, Container) else first, Items):
        plain = items.plain()
        return Constant(len(plain)) if plain is not None else Unknown("the length of a list is not known")
    if name in ("min", "max", "sum"):
        return _extreme(run, name, given, arguments, node, scope)
    if name in _PLAIN and len(given) == 1 and isinstance(first, Constant):
        return _converted(name, first.value)
    if name in _SILENT:
        return Unknown("it is a computed value")
    if name == "next" and isinstance(first, Items):
        return join(flat(first.content)) if first.content else Unknown("the list is empty")
    return modules.mystery(run, f"`{name}` is not followed", arguments, node, scope)


def _converted(name: str, value: object) -> Value:
    try:
        return Constant(_PLAIN[name](value))
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


def _dict(run: Run, first: Value | None, arguments: Arguments) -> Value:
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


def _attribute(run: Run, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    owner, key = arguments.get(0, "object"), arguments.get(1, "name")
    value = arguments.get(2, "value")
    if owner is None or key is None:
        return Unknown("its attribute is not known")
    text = key.value if isinstance(key, Constant) and isinstance(key.value, str) else None
    if name == "setattr":
        if text is not None and value is not None:
            attributes.write(run, owner, text, value, scope)
        elif value is not None and isinstance(owner, Instance):
            methods.store_anywhere(run, owner, value)
        elif value is not None:
            run.escape(value, Unknown("it is kept under a name that is not known"))
        return NONE
    if text is not None:
        found = attributes.read(run, owner, text, node, scope)
        return join([found, value]) if value is not None else found
    if isinstance(owner, Instance):
        why = Unknown("`getattr` gives a layer by a computed name")
        for layer in attributes.layers(owner):
            run.escape(layer, why)
        return why
    return Unknown("it is an attribute by a computed name")


def _has(given: list[Value]) -> Value:
    if len(given) == 2 and isinstance(given[0], Instance) and isinstance(given[1], Constant):
        value = given[0].content.get(str(given[1].value), MISSING)
        if value is not MISSING and MISSING not in options(value):
            return Constant(True)
    return Unknown("it is not known whether the attribute is there")


def _is_instance(given: list[Value]) -> Value:
    if len(given) == 2 and isinstance(given[0], Layer) and isinstance(given[1], Dotted):
        kind = constructed(given[1].name)
        if kind is not None and kind == given[0].kind:
            return Constant(True)
    kinds = _python_types(given[1]) if len(given) == 2 else None
    if isinstance(given[0], Constant) and given[0].value is None:
        return Constant(False)
    if kinds and isinstance(given[0], Constant):
        return Constant(isinstance(given[0].value, kinds))
    layer_class = isinstance(given[0], Dotted) and constructed(given[0].name) is not None
    if kinds and (layer_class or isinstance(given[0], (Class, Function, Partial, Layer))):
        return Constant(False)
    return Unknown("the class of a value is asked for")


def _python_types(value: Value) -> tuple[type, ...] | None:
    """The types of plain values that a test names: `str`, `(int, float)`; None where it names others too."""
    named = value.plain() or [] if isinstance(value, Items) else [value]
    found = [_PLAIN.get(one.name.removeprefix("builtins.")) for one in named if isinstance(one, Dotted)]
    types = tuple(one for one in found if isinstance(one, type))
    return types if types and len(types) == len(named) else None


def _extreme(run: Run, name: str, given: list[Value], arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    if any(True for value in given for _ in tensors(value)):
        return run.operation("add" if name == "sum" else name, modules.inputs(run, arguments), node, scope, name)
    values = given[0].plain() if len(given) == 1 and isinstance(given[0], Items) else given
    numbers = [one.value for one in values or () if isinstance(one, Constant) and isinstance(one.value, (int, float))]
    if values and len(numbers) == len(values) and not arguments.keywords:
        return Constant(min(numbers) if name == "min" else max(numbers) if name == "max" else sum(numbers))
    return Unknown("it is a computed value")


def library(run: Run, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value | None:
    """The result of a function of the standard library or of torch that is no operation; None where it is another."""
    if name in ("functools.partial", "partial") and arguments.positional:
        return Partial(arguments.positional[0].value, Arguments(*_rest(arguments)))
    if name in ("collections.OrderedDict", "OrderedDict", "typing.OrderedDict"):
        return _dict(run, arguments.get(0, "iterable"), arguments)
    if name == "copy.deepcopy" and arguments.positional:
        return copied(run, arguments.positional[0].value)
    if name.startswith(("torch.nn.init.", "torch.nn.Parameter", "math.", "numpy.", "np.", "warnings.", "logging.")):
        return Unknown(f"it is made by `{name}`")
    if name.startswith(("torch.cuda.", "torch.autocast", "torch.autograd.profiler", "contextlib.")):
        return Unknown(f"it is made by `{name}`")
    if name in ("itertools.chain", "itertools.chain.from_iterable"):
        return None
    return None


def _rest(arguments: Arguments) -> tuple[list[Passed], dict[str, Passed], Unknown | None]:
    return arguments.positional[1:], arguments.keywords, arguments.incomplete


def copied(run: Run, value: Value) -> Value:
    """A deep copy: new layers, made by the same constructor calls."""
    if isinstance(value, Layer):
        twin = Layer(value.kind, value.name, value.site, value.arguments, value.incomplete, value.reason)
        twin.owner, twin.wrappers = value.owner, value.wrappers
        run.graph.layers.append(twin)
        return twin
    if isinstance(value, Container):
        items = Items([_copied_part(run, part) for part in value.items.content])
        items.leaked = value.items.leaked
        plain = value.items.plain()
        table = Table({}, Unknown("it is a copy"))
        if plain is not None and items.plain() is not None:
            named = {id(old): new for old, new in zip(plain, items.plain() or [], strict=True)}
            table = Table(
                {key: named.get(id(one), Unknown("it is a copy")) for key, one in value.table.content.items()}
            )
        made = Container(value.kind, items, table, value.node, value.scope)
        run.containers.append(made)
        return made
    if isinstance(value, Choice):
        return join(copied(run, option) for option in value.options)
    if isinstance(value, (Constant, Unknown)):
        return value
    return value if isinstance(value, (Call, Submodule)) else Unknown("it is a copy")


def _copied_part(run: Run, part: Part) -> Part:
    if isinstance(part, Fork):
        return Fork([[_copied_part(run, one) for one in alternative] for alternative in part.alternatives])
    if isinstance(part, Repeat):
        return Repeat([_copied_part(run, one) for one in part.parts])
    return copied(run, part)
