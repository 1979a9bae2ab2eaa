"""The parameters of a function: which there are, and what a call sets them to."""

from __future__ import annotations

from normfix.graph import Unknown
from normfix.readers.interpreter import expressions
from normfix.readers.interpreter.arguments import Arguments
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import Function, Instance, Items, Repeat, Scope, Table, Value


def bind(run: Run, function: Function, arguments: Arguments, scope: Scope, receiver: Instance | None) -> bool:
    """Set the parameters in the function's scope. False where the arguments do not fit."""
    spec = run.signature(function)
    names, content, unread = spec.names, scope.content, arguments.unread
    if receiver is not None and names:
        content[names[0]] = receiver
        names = names[1:]
    starred = next((place for place, one in enumerate(arguments.positional) if one.position is None), None)
    given = [passed.value for passed in arguments.positional[:starred]]
    if len(given) > len(names) and spec.star is None:
        return False
    content.update(zip(names, given, strict=False))
    if spec.star is not None:
        content[spec.star] = _gathered(arguments, len(names), starred)
    others: dict[object, Value] = {}
    for name, passed in arguments.keywords.items():
        if name in names or name in spec.keywords:
            content[name] = passed.value
        elif spec.stars is None:
            return False
        else:
            others[name] = passed.value
    if spec.stars is not None:
        content[spec.stars] = Table(others, unread)
    _fill(run, function, [*names, *spec.keywords], scope, unread)
    return True


def _gathered(arguments: Arguments, named: int, starred: int | None) -> Items:
    """What `*args` holds."""
    extra = Items([], "tuple")
    extra.leaked = arguments.incomplete
    for place, passed in enumerate(arguments.positional):
        if passed.position is None and isinstance(passed.value, Items):
            # A list of unknown length may have filled named parameters before it came here.
            exact = named <= (starred or 0)
            extra.content += passed.value.content if exact else [Repeat(passed.value.content)]
        elif place >= named or (starred is not None and place > starred):
            extra.content.append(passed.value)
    return extra


def _fill(run: Run, function: Function, names: list[str], scope: Scope, unread: Unknown | None) -> None:
    """Set those parameters that the call leaves to their defaults."""
    defaults = run.signature(function).defaults
    for name in names:
        if name in scope.content:
            continue
        node = defaults.get(name)
        if unread is not None or node is None:
            scope.content[name] = unread or Unknown(f"`{name}` is a parameter")
        else:
            scope.content[name] = expressions.evaluate(run, node, function.scope)


def unknown(function: Function, where: str) -> dict[str, Value]:
    """Values for the parameters of a function that anyone may call: none of them is known, its defaults included."""
    spec = function.node.args
    values: dict[str, Value] = {}
    for argument in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs):
        values[argument.arg] = Unknown(f"`{argument.arg}` is a parameter of `{where}`")
    if spec.vararg is not None:
        values[spec.vararg.arg] = Items(
            [Repeat([Unknown(f"`*{spec.vararg.arg}` is a parameter of `{where}`")])], "tuple"
        )
    if spec.kwarg is not None:
        values[spec.kwarg.arg] = Table({}, Unknown(f"`**{spec.kwarg.arg}` is a parameter of `{where}`"))
    return values
