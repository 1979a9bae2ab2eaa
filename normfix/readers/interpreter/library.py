"""Functions of libraries that matter when layers are built, and are no operations on tensors."""

from __future__ import annotations

import ast

from normfix.graph import Call, Layer, Unknown
from normfix.readers.interpreter import builtin
from normfix.readers.interpreter.arguments import Arguments, Passed
from normfix.readers.interpreter.joining import join
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import (
    Choice,
    Constant,
    Container,
    Fork,
    Items,
    Part,
    Partial,
    Repeat,
    Scope,
    Submodule,
    Table,
    Value,
)


def invoke(run: Run, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value | None:
    """The result of a function of the standard library or of torch that is no operation; None where it is another."""
    if name in ("functools.partial", "partial") and arguments.positional:
        return Partial(arguments.positional[0].value, Arguments(*_rest(arguments)))
    if name in ("collections.OrderedDict", "OrderedDict", "typing.OrderedDict"):
        return builtin.dict_(run, arguments.get(0, "iterable"), arguments)
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
