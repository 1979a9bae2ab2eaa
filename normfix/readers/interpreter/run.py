"""One run of the interpreter: the graph that it fills, and what lets it take both sides of a branch."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence

from normfix.graph import Call, Layer, LayerGraph, Unknown
from normfix.readers.interpreter.arguments import Signature
from normfix.readers.interpreter.joining import children, flat, join, tensors
from normfix.readers.interpreter.loops import Loop, Rounds
from normfix.readers.interpreter.memo import Memo
from normfix.readers.interpreter.merging import merged
from normfix.readers.interpreter.values import (
    MISSING,
    Bound,
    Box,
    Choice,
    Class,
    Constant,
    Container,
    Dotted,
    Function,
    Instance,
    Items,
    Method,
    Part,
    Partial,
    Repeat,
    Scope,
    Submodule,
    Table,
    Value,
)
from normfix.script import Script, walk

NORMAL, JUMP = 1, 2
"""How a block ends: at its end, or by return, break or continue. A block that only raises ends in neither."""
DEEPEST = 60
"""Nesting of expressions, blocks and calls that is followed; Python's own stack allows about three times that."""
LARGEST = 30_000
"""Nodes visited for one graph."""


_PLAIN = frozenset({Unknown, Constant, Dotted, Class})
"""Values that are the same wherever they go."""
Changes = dict[int, tuple[Box, "list[Part] | dict[object, Value] | dict[str, Value]"]]


class TooLarge(Exception):
    """A network that takes too long to follow."""


class Run:
    """The state that every part of the interpreter shares."""

    def __init__(self, graph: LayerGraph, memo: Memo) -> None:
        self.graph = graph
        self._memo = memo
        self.site, self.text = memo.site, memo.text
        """Where a node stands that is read in a scope, and how it is written."""
        self.depth = 0
        self.steps = 0
        self.looping = 0
        self.building = True
        """Is a constructor running; passing `self` around is then setting weights, not calling layers."""
        self.path: tuple[tuple[int, int], ...] = ()
        self.beside = False
        """Are blocks that are imported from files beside this one looked up."""
        self.freezing = False
        """Does `.eval()` on a layer mean that its class keeps it there."""
        self.stack: list[ast.AST] = []
        self.visited: set[ast.AST] = set()
        self.containers: list[Container] = []
        self.receivers: list[Instance] = []
        """Objects whose constructors run, innermost last."""
        self._forks = 0
        self._journal: list[Changes] = []

    def module_of(self, script: Script) -> Scope:
        """The names at the top level of a file."""
        return self._memo.module_of(script)

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

    # Changing things, so that a branch can be taken back

    def spend(self, steps: int) -> None:
        """Count work done. Raises `TooLarge` where it is too much for one graph."""
        self.steps += steps
        if self.steps > LARGEST:
            raise TooLarge

    def touch(self, box: Box) -> None:
        """Announce a change of `box.content`: a branch that is being tried keeps what was there before."""
        if self._journal:
            changes = self._journal[-1]
            if id(box) not in changes:
                changes[id(box)] = (box, box.content)
                box.content = box.content.copy()

    def _replace(self, box: Box, content: object) -> None:
        """Change all of a box at once: `content` is nobody else's."""
        if self._journal:
            self._journal[-1].setdefault(id(box), (box, box.content))
        box.content = content  # type: ignore[assignment]  # all contents of one box have one type

    def assign(self, box: Scope | Instance, name: str, value: Value) -> None:
        if self._journal:
            self.touch(box)
        box.content[name] = value

    def fork(self, branches: Sequence[Callable[[], int]]) -> int:
        """Take every branch from the same state, and merge what they leave behind."""
        self._forks += 1
        number, path = self._forks, self.path
        ends: list[Changes] = []
        flags = 0
        for index, branch in enumerate(branches):
            self.path = (*path, (number, index))
            end, flag = self._try(branch)
            flags |= flag
            if flag:
                ends.append(end)
        self.path = path
        touched = {key: box for end in ends for key, (box, _) in end.items()}
        for key, box in touched.items():
            self.spend(1 + len(box.content) // 8)
            contents = [end[key][1] if key in end else box.content for end in ends]
            after = merged(contents) if len(contents) > 1 else contents[0]
            if after is box.content:
                self.touch(box)
            else:
                self._replace(box, after)
        return flags

    def alternatives(self, entries: Sequence[Callable[[], int]]) -> None:
        """Run every entry from the same state, one instead of the other, and leave nothing behind."""
        self._forks += 1
        number, path = self._forks, self.path
        for index, entry in enumerate(entries):
            self.path = (*path, (number, index))
            self._try(entry)
        self.path = path

    def _try(self, branch: Callable[[], int]) -> tuple[Changes, int]:
        """Run a branch, take its changes back, and return them."""
        self._journal.append({})
        try:
            flag = branch()
        finally:
            before = self._journal.pop()
        after: Changes = {}
        for key, (box, content) in before.items():
            after[key] = (box, box.content)
            box.content = content
        return after, flag

    def repeat(self, body: Callable[[], int], carried: Callable[[str], bool]) -> int:
        """Run a loop's body once, standing for any number of rounds.

        `carried` tells whether a name that the body assigns is read by the next round.
        """
        self._forks += 1
        path = self.path
        self.path = (*path, (self._forks, 0))
        self.looping += 1
        after, flag = self._try(body)
        self.looping -= 1
        self.path = path
        for box, content in after.values():
            self.touch(box)
            if isinstance(box, Items):
                box.content = self._grown(box, content)  # type: ignore[arg-type]  # a list holds parts
            else:
                names = carried if isinstance(box, Scope) else None
                box.content = self._changed(box.content, content, names)  # type: ignore[arg-type]  # a dict by names
        return flag | NORMAL

    def _grown(self, box: Items, after: list[Part]) -> list[Part]:
        before = box.content
        prefix = len(before)
        new = after[prefix:] if after[:prefix] == before else after
        for value in flat(new):
            if isinstance(value, (Call, Choice)) and box.kind != "generated":
                self.escape(value, Unknown("it is kept in a list that a loop fills"))
        if after[:prefix] == before:
            return [*before, Repeat(new)] if new else before
        return [Repeat([*before, *after])]

    def _changed(
        self, before: Mapping[str, Value], after: Mapping[str, Value], carried: Callable[[str], bool] | None
    ) -> dict[str, Value]:
        merged = dict(before)
        for name, value in after.items():
            old = before.get(name, MISSING)
            if value is not old:
                merged[name] = join([old, value])
                if carried is not None and carried(name):
                    for call in tensors(value):
                        self.escape(call, Unknown("the next round of a loop reads it"))
        return merged

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

    # What is lost from sight

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
