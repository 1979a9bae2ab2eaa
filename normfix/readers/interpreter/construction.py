"""Constructing layers of the vocabulary."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from normfix import vocabulary
from normfix.graph import Argument, Layer, Unknown
from normfix.readers.interpreter.arguments import Arguments, Passed
from normfix.readers.interpreter.kinds import REPARAMETRIZATIONS
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import Choice, Constant, Dotted, Items, Scope, Value


def layer(run: Run, kind: str, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Layer:
    """A layer of a known kind, its arguments by the names of its parameters."""
    made, incomplete = arguments_of(run, vocabulary.positional(kind), arguments)
    built = Layer(
        kind,
        kind,
        run.site(node, scope),
        made,
        incomplete,
        owner=scope.owner,
        repeated=run.looping > 0,
    )
    run.graph.layers.append(built)
    return built


def unknown(run: Run, reason: str, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Layer:
    """A layer of torch that the vocabulary does not hold."""
    for value in arguments.values():
        run.escape(value, Unknown(reason))
    site = run.site(node, scope)
    built = Layer("unknown", "unknown", site, incomplete=Unknown(reason), reason=reason, owner=scope.owner)
    run.graph.layers.append(built)
    return built


def arguments_of(run: Run, names: Sequence[str], arguments: Arguments) -> tuple[dict[str, Argument], Unknown | None]:
    """Arguments by parameter name. What cannot be matched makes the result incomplete."""
    made: dict[str, Argument] = {}
    incomplete = arguments.unread
    for index, passed in enumerate(arguments.positional):
        if passed.position is None:
            break
        if index < len(names):
            made[names[index]] = argument(run, passed, index)
        else:
            incomplete = incomplete or Unknown("more arguments are passed than it has parameters")
    for name, passed in arguments.keywords.items():
        made[name] = argument(run, passed, None)
    return made, incomplete


def argument(run: Run, passed: Passed, position: int | None) -> Argument:
    """One argument as the layer graph holds it."""
    node = passed.node
    if node is None:
        return Argument(plain(passed.value), "", position)
    text, origin = run.text(node, passed.scope), run.site(node, passed.scope).origin
    return Argument(plain(passed.value), text, position, origin)


def plain(value: Value) -> object:
    """A value as plain Python; `Unknown` where it is not known."""
    if isinstance(value, Constant):
        return value.value
    if isinstance(value, Unknown):
        return value
    if isinstance(value, Items):
        elements = value.plain()
        if elements is not None:
            values = [plain(element) for element in elements]
            unread = next((one for one in values if isinstance(one, Unknown)), None)
            return unread or (tuple(values) if value.kind == "tuple" else values)
    if isinstance(value, Choice):
        return Unknown("it depends on a branch")
    if isinstance(value, Dotted):
        return Unknown(f"`{value.name}` is not a plain value")
    return Unknown("it is not a plain value")


def wrapped(run: Run, name: str, arguments: Arguments) -> Value:
    """A function that gives back the module it is given."""
    module = arguments.get(0, "module")
    if name in REPARAMETRIZATIONS and isinstance(module, Layer):
        module.wrappers = (*module.wrappers, _along(REPARAMETRIZATIONS[name], arguments))
    return module if module is not None else Unknown(f"`{name}` is called without a module")


def _along(name: str, arguments: Arguments) -> str:
    """The name of a reparametrization; a weight norm that is not along the first dimension says so."""
    if name != "weight_norm":
        return name
    given = arguments.unread or arguments.get(2, "dim") or Constant(0)
    dimension = given.value if isinstance(given, Constant) else "?"
    return name if dimension == 0 else f"{name}(dim={dimension})"
