"""Objects that are a convolution or a linear layer themselves: `class SameConv2d(nn.Conv2d)`, whatever it does before.

Its forward is followed as that of any block; where it hands its bias to the function of torch, that is a call of it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from normfix import vocabulary
from normfix.graph import Call
from normfix.readers.interpreter import classes, construction, functions, modules
from normfix.readers.interpreter.arguments import Arguments
from normfix.readers.interpreter.kinds import constructed
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import Class, Instance, Method, Scope, Value
from normfix.script import walk

FORWARDS = frozenset({"forward", "__call__", "_conv_forward"})
"""Methods of these layers that add the bias."""
_FUNCTIONS = frozenset(
    {"linear", "_conv_forward", *(f"conv{way}{rank}d" for way in ("", "_transpose") for rank in (1, 2, 3))}
)
_BIAS = 2
"""The place of the bias among the arguments of these."""


def lend(run: Run, made: Value, arguments: Arguments, node: ast.AST, scope: Scope) -> None:
    """Give an object that was just constructed, and is such a layer, one of its own."""
    if not isinstance(made, Instance) or made.children is not None:
        return
    base = _base(made.cls)
    own = functions.initialiser(made.cls) is not None
    given = made.given if own else arguments
    if base is None or given is None or not _leaves_bias(run, made.cls):
        return
    made.itself = construction.layer(run, constructed(base) or "", base, given, node, scope)
    made.itself.helper = made.cls.node.name if own else ""


def called(run: Run, owner: Instance, arguments: Arguments, node: ast.AST, scope: Scope) -> Call | None:
    """A call of the layer that an object is; None where it is none."""
    if owner.itself is None:
        return None
    first = Arguments(arguments.positional[:1], {}, arguments.incomplete)
    return run.call(owner.itself, modules.inputs(run, first), node, scope)


def with_bias(run: Run, kind: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Call | None:
    """`F.conv2d(x, weight, self.bias)` as a call of the layer whose bias it is; None where it is not known as one."""
    bias = arguments.get(_BIAS, "bias") if kind in _FUNCTIONS else None
    if not isinstance(bias, Method) or bias.name != "bias" or not isinstance(bias.receiver, Instance):
        return None
    return called(run, bias.receiver, arguments, node, scope)


def _base(cls: Class) -> str | None:
    """The layer of torch that a class derives from."""
    return next((one for one in classes.bases(cls) if constructed(one) in vocabulary.PRODUCERS), None)


def _leaves_bias(run: Run, cls: Class) -> bool:
    """Is the bias used as torch does, and in no other way, wherever the class and its bases in the file name it."""
    for home in classes.lineage(cls):
        if "'bias'" in (text := run.text(home.node, home.scope)) or '"bias"' in text:
            return False
        allowed = set(_handed_on(home.node))
        if any(one.attr == "bias" and one not in allowed for one in run.attributes(home.node)):
            return False
    return True


def _handed_on(node: ast.ClassDef) -> Iterator[ast.expr]:
    """The expressions that stand for the bias in calls of the functions of torch."""
    for call in walk(node):
        if isinstance(call, ast.Call):
            last = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if last in _FUNCTIONS:
                yield from call.args[_BIAS : _BIAS + 1]
                yield from (one.value for one in call.keywords if one.arg == "bias")
