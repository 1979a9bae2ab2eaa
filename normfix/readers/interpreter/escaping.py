"""What is lost from sight: values that go somewhere that is not followed."""

from __future__ import annotations

import ast

from normfix.graph import Call, Layer, LayerGraph, Unknown
from normfix.readers.interpreter.joining import children, flat
from normfix.readers.interpreter.values import (
    Bound,
    Choice,
    Class,
    Constant,
    Container,
    Dotted,
    Function,
    Instance,
    Items,
    Method,
    Partial,
    Scope,
    Submodule,
    Table,
    Value,
)
from normfix.script import walk

LARGEST = 30_000
"""Nodes visited for one graph."""
_PLAIN = frozenset({Unknown, Constant, Dotted, Class})
"""Values that are the same wherever they go."""


class TooLarge(Exception):
    """A network that takes too long to follow."""


class Escaping:
    """Knows which values are used by code that is not read."""

    def __init__(self, graph: LayerGraph) -> None:
        self.graph = graph
        self.steps = 0
        self.building = True
        """Is a constructor running; passing `self` around is then setting weights, not calling layers."""
        self.receivers: list[Instance] = []
        """Objects whose constructors run, innermost last."""

    def spend(self, steps: int) -> None:
        """Count work done. Raises `TooLarge` where it is too much for one graph."""
        self.steps += steps
        if self.steps > LARGEST:
            raise TooLarge

    def escape(self, value: Value, why: Unknown) -> None:
        """The value goes somewhere that is not followed."""
        if type(value) in _PLAIN:
            self.spend(1)
            return
        stack, seen = [value], set()
        while stack:
            one = stack.pop()
            if id(one) in seen:
                continue
            seen.add(id(one))
            self.spend(1)
            if isinstance(one, (Call, Layer)):
                one.escapes = one.escapes or why
            elif isinstance(one, Container):
                if one.kind == "Sequential":
                    one.escaped = True
                else:
                    stack += [*flat(one.items.content), *one.table.content.values()]
            elif isinstance(one, (Items, Table)):
                one.leaked = one.leaked or why
                stack += children(one)
            elif isinstance(one, Choice):
                stack += one.options
            elif isinstance(one, Partial):
                stack += [one.callee, *one.arguments.values()]
            elif isinstance(one, Instance):
                stack += self._exposed(one)
                if one.itself is not None:
                    stack.append(one.itself)
            elif isinstance(one, Method):
                stack += [one.receiver] if isinstance(one.receiver, Call) else []
            elif isinstance(one, Submodule):
                stack.append(one.owner)
            elif isinstance(one, Bound):
                stack += self.mentioned(one.function, Scope(None, one.function.scope.script), one.receiver)
            elif isinstance(one, Function):
                stack += self.mentioned(one, one.scope, None)

    def _exposed(self, owner: Instance) -> list[Value]:
        """What may be used of an object that is handed over: a block is called as a whole, as its own graph shows."""
        return list(owner.content.values()) if self.is_own(owner) and not self.building else []

    def is_own(self, owner: Instance) -> bool:
        """Is this the object of the class that the graph is about."""
        return bool(self.receivers) and owner is self.receivers[0]

    def mentioned(self, function: Function, scope: Scope, receiver: Instance | None) -> list[Value]:
        """What a function that runs elsewhere holds of the values here."""
        found: list[Value] = []
        for node in walk(function.node):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                value = _local(scope, node.id)
                if value is not None and not isinstance(value, (Function, Instance)):
                    found.append(value)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                owner = receiver if receiver is not None else _local(scope, node.value.id)
                if isinstance(owner, Instance) and node.attr in owner.content:
                    found.append(owner.content[node.attr])
        return found


def _local(scope: Scope | None, name: str) -> Value | None:
    while scope is not None and scope.parent is not None:
        if name in scope.content:
            return scope.content[name]
        scope = scope.parent
    return None
