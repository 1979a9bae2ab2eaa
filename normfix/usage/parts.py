"""Networks that a function takes apart and puts together again: `nn.Sequential(*list(resnet.children())[:-1])`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from normfix.records import replace
from normfix.script import Script
from normfix.usage.networks import Contents, contents
from normfix.usage.steps import Scope, dotted, unwrapped

_DEPTH = 12
_TRUNKS = frozenset("features encoder backbone body layer1 layer2 layer3 layer4 blocks".split())
"""Attributes of library networks that hold their blocks."""
_KEEPING = frozenset("list tuple OrderedDict dict IntermediateLayerGetter create_feature_extractor".split())
"""Calls whose result holds the layers of the first argument."""
_WALKS = ("children", "modules", "named_children", "named_modules", "values", "items")


def holding(script: Script, scope: Scope, value: ast.expr | None) -> Contents:
    """What is known of the network that an expression builds, the names that it uses looked up in its scope."""
    return _holding(script, scope, value, set(), _DEPTH)


def _holding(script: Script, scope: Scope, value: ast.expr | None, seen: set[ast.expr], depth: int) -> Contents:
    """The same; each expression is looked at once, as a name may be bound to lists of itself."""
    known = contents(script, value)
    if known.batch_norm or value is None or value in seen or not depth:
        return known
    seen.add(value)
    for part in _parts(unwrapped(value), scope):
        held = _holding(script, scope, part, seen, depth - 1)
        if held.batch_norm:
            return replace(held, frozen=held.frozen or known.frozen)
    return known


def _parts(value: ast.expr, scope: Scope) -> Iterator[ast.expr]:
    """What an expression takes whole networks, or their first layers, from."""
    if isinstance(value, (ast.Name, ast.Attribute)) and dotted(value) in scope.bound:
        yield from (one for one in scope.bound[dotted(value)] if one is not None)
    elif isinstance(value, ast.Starred) or _is_trunk(value):
        yield value.value  # type: ignore[attr-defined]  # all of these have one
    elif isinstance(value, (ast.List, ast.Tuple)):
        yield from value.elts
    elif isinstance(value, ast.Call):
        yield from _arguments(value)


def _is_trunk(value: ast.expr) -> bool:
    """Is this the first part of a network: its blocks without the head, its children up to some place."""
    if isinstance(value, ast.Subscript):
        return isinstance(value.slice, ast.Slice) and value.slice.lower is None
    return isinstance(value, ast.Attribute) and value.attr in _TRUNKS


def _arguments(call: ast.Call) -> Iterator[ast.expr]:
    last = dotted(call.func).rpartition(".")[2]
    if isinstance(call.func, ast.Attribute) and call.func.attr in _WALKS:
        yield call.func.value
    elif last == "Sequential":
        yield from call.args
    elif last in _KEEPING:
        yield from call.args[:1]
