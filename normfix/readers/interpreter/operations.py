"""Functions and methods of torch that work on tensors."""

from __future__ import annotations

import ast

from normfix import vocabulary
from normfix.graph import Argument, Call, Unknown
from normfix.readers.interpreter import construction, derived, modules
from normfix.readers.interpreter.arguments import Arguments, Passed
from normfix.readers.interpreter.joining import tensors
from normfix.readers.interpreter.kinds import PARAMETERS
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import Items, Scope, Value

_FACTORIES = frozenset(
    """zeros ones empty full rand randn randint arange linspace eye tensor as_tensor from_numpy randperm
    no_grad enable_grad inference_mode set_grad_enabled device dtype is_grad_enabled manual_seed
    is_tensor get_default_dtype set_default_dtype finfo iinfo size numel""".split()
)


def apply(run: Run, kind: str, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    """The result of a function of torch."""
    if kind in _FACTORIES and not any(True for value in arguments.values() for _ in tensors(value)):
        return Unknown(f"it is made by `{name}`")
    derived_from = derived.with_bias(run, kind, arguments, node, scope)
    if derived_from is not None:
        return derived_from
    inputs = modules.inputs(run, arguments)
    if run.building and not any(isinstance(one, Call) for one in inputs):
        return Unknown(f"it is made by `{name}`")
    call = run.operation(kind, inputs, node, scope, _short(name))
    call.layer.arguments, call.layer.incomplete = _named(run, kind, arguments, skip=0)
    return call


def method(run: Run, receiver: Call, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Call:
    """The result of a method of a tensor."""
    kind = vocabulary.canonical(name)
    call = run.operation(kind, [receiver, *modules.inputs(run, arguments)], node, scope, name)
    call.layer.arguments, call.layer.incomplete = _named(run, kind, arguments, skip=1)
    return call


def _short(name: str) -> str:
    return name.replace("torch.nn.functional.", "F.")


def _named(run: Run, kind: str, arguments: Arguments, skip: int) -> tuple[dict[str, Argument], Unknown | None]:
    """Arguments by parameter name; `skip` counts the tensors that were passed before them."""
    if vocabulary.is_known(kind):
        return construction.arguments_of(run, vocabulary.positional(kind)[skip:], arguments)
    names = PARAMETERS.get(kind, "").split()
    positional = [passed for passed in arguments.positional if skip or passed is not arguments.positional[0]]
    if names and names[0].startswith("*"):
        positional, names = _gathered(positional, names[0])
    rest = Arguments(positional, arguments.keywords, arguments.incomplete)
    made, incomplete = construction.arguments_of(run, names, rest)
    return made, incomplete if names else arguments.incomplete


def _gathered(positional: list[Passed], star: str) -> tuple[list[Passed], list[str]]:
    """`permute(0, 2, 1)` and `permute((0, 2, 1))` both pass `dims`."""
    if not positional:
        return positional, [star[1:]]
    first = positional[0]
    if len(positional) == 1 and isinstance(first.value, Items):
        return positional, [star[1:]]
    gathered = Items([passed.value for passed in positional], "tuple")
    return [Passed(gathered, None, 0, first.scope)], [star[1:]]
