"""Both sides of a branch, taken from the same state; a loop's body, taken once for any number of rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from normfix.graph import Call, LayerGraph, Unknown
from normfix.readers.interpreter.escaping import Escaping
from normfix.readers.interpreter.joining import flat, join, tensors
from normfix.readers.interpreter.merging import merged
from normfix.readers.interpreter.values import MISSING, Box, Choice, Instance, Items, Part, Repeat, Scope, Value

NORMAL, JUMP = 1, 2
"""How a block ends: at its end, or by return, break or continue. A block that only raises ends in neither."""

Changes = dict[int, tuple[Box, "list[Part] | dict[object, Value] | dict[str, Value]"]]


class Forking(Escaping):
    """Changes things so that a branch can be taken back."""

    def __init__(self, graph: LayerGraph) -> None:
        super().__init__(graph)
        self.looping = 0
        self.path: tuple[tuple[int, int], ...] = ()
        self._forks = 0
        self._journal: list[Changes] = []

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
        """Set a name of a scope, or an attribute of an object."""
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
