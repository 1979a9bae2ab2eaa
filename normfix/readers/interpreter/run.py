"""One run of the interpreter: the graph that it fills, and what it knows of the file."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from normfix.graph import Call, Layer, LayerGraph, Unknown
from normfix.readers.interpreter.arguments import Signature
from normfix.readers.interpreter.forking import Forking
from normfix.readers.interpreter.loops import Loop, Rounds
from normfix.readers.interpreter.memo import Memo
from normfix.readers.interpreter.values import Choice, Class, Container, Function, Method, Scope, Value
from normfix.script import Script

DEEPEST = 60
"""Nesting of expressions, blocks and calls that is followed; Python's own stack allows about three times that."""


class Run(Forking):
    """The state that every part of the interpreter shares."""

    def __init__(self, graph: LayerGraph, memo: Memo) -> None:
        super().__init__(graph)
        self._memo = memo
        self.site, self.text = memo.site, memo.text
        """Where a node stands that is read in a scope, and how it is written."""
        self.depth = 0
        self.beside = False
        """Are blocks that are imported from files beside this one looked up."""
        self.freezing = False
        """Does `.eval()` on a layer mean that its class keeps it there."""
        self.stack: list[ast.AST] = []
        self.visited: set[ast.AST] = set()
        self.containers: list[Container] = []

    def block_beside(self, script: Script, name: str) -> Class | Function | None:
        """A class or function that is imported from a file beside this one; None where it is not looked up."""
        return self._memo.block_beside(script, name) if self.beside else None

    def attributes(self, function: ast.AST) -> list[ast.Attribute]:
        """Every attribute that a function reads or sets."""
        return self._memo.attributes(function)

    def signature(self, function: Function) -> Signature:
        """The parameters of a function."""
        return self._memo.signature(function)

    def rounds(self, loop: Loop) -> Rounds:
        """What one round of a loop sets and reads."""
        return self._memo.rounds(loop)

    def is_generator(self, function: Function) -> bool:
        """Does a function yield."""
        return self._memo.is_generator(function.node, function.scope.script)

    def is_read(self, definition: ast.AST) -> bool:
        """Has this class or function a graph of its own."""
        return definition in self._memo.read

    def disown(self, definition: ast.AST, start: int) -> None:
        """Layers from `start` on were made by a class or function; if it has no graph, its other uses are not seen."""
        if not self.is_read(definition):
            for layer in self.graph.layers[start:]:
                self.escape(layer, Unknown("not every use of what constructs it is read"))

    # The graph

    def call(self, layer: Layer, inputs: Sequence[Call | Unknown], node: ast.AST, scope: Scope) -> Call:
        call = Call(layer, tuple(inputs), site=self.site(node, scope), branches=self.path)
        self.graph.calls.append(call)
        return call

    def operation(
        self, kind: str, inputs: Sequence[Call | Unknown], node: ast.AST, scope: Scope, name: str = ""
    ) -> Call:
        """A call of an operation that no layer object stands for."""
        site = self.site(node, scope)
        call = Call(Layer(kind, name or kind, site, owner=scope.owner), tuple(inputs), site=site, branches=self.path)
        self.graph.calls.append(call)
        return call

    def mystery(self, reason: str, inputs: Sequence[Call | Unknown], node: ast.AST, scope: Scope) -> Call:
        """A call of something that is not understood."""
        call = self.operation("unknown", inputs, node, scope, "an unknown call")
        call.layer.reason = reason
        return call

    def tensor(self, value: Value) -> Call | Unknown | None:
        """The value as a tensor that is read; None where it is none."""
        if isinstance(value, (Call, Unknown)):
            return value
        if isinstance(value, Method):
            return self._part(value)
        if not isinstance(value, Choice):
            return None
        if value.call is None:
            value.call = self._either(value)
        return value.call

    def _part(self, value: Method) -> Call | None:
        """An attribute of a result, read as a tensor."""
        if value.call is None and isinstance(value.receiver, Call):
            value.call = Call(Layer("getitem", value.name), (value.receiver,), branches=self.path)
            self.graph.calls.append(value.call)
        return value.call

    def _either(self, value: Choice) -> Call | Unknown | None:
        inputs = [one for one in (self.tensor(option) for option in value.options) if one is not None]
        if not any(isinstance(one, Call) for one in inputs):
            return inputs[0] if inputs else None
        if len(inputs) == 1:
            return inputs[0]
        call = Call(Layer("either", "a join of branches"), tuple(inputs), branches=self.path)
        self.graph.calls.append(call)
        return call
