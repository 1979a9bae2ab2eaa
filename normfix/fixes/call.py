"""One call rewritten in several steps, as text by libcst and as a tree, side by side."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

import libcst as cst

from normfix.errors import Refused
from normfix.fixes import layout
from normfix.fixes.arguments import Outline, option_names
from normfix.fixes.edits import Edit, Fix
from normfix.fixes.source import Source, expression
from normfix.vocabulary import positional


class CallRewrite:
    """Starts as the call is; raises `Refused` for starred arguments, which may hold anything.

    Options (`**dd`) whose names are known are kept as they are, under the name `**`.
    """

    def __init__(self, source: Source, call: ast.Call) -> None:
        held = [option_names(source, one.value) for one in call.keywords if one.arg is None]
        if any(isinstance(one, ast.Starred) for one in call.args) or None in held:
            raise Refused("its starred arguments may hold anything")
        self.options = frozenset().union(*(one for one in held if one is not None))
        self._source, self._call = source, call
        self._outline = Outline(source, call)
        self._text = self._outline.call
        self._equal = layout.equal(self._text.args)
        self._callee: str | None = None
        self._values: list[tuple[str | None, ast.expr]] = [
            *((None, one) for one in call.args),
            *((one.arg or "**", one.value) for one in call.keywords),
        ]

    def named(self, kind: str) -> list[tuple[str, ast.expr]]:
        """Every argument under the name of the parameter that takes it."""
        names = positional(kind)
        if sum(keyword is None for keyword, _ in self._values) > len(names):
            raise Refused(f"it passes more arguments than `{kind}` takes")
        return [(keyword or names[index], value) for index, (keyword, value) in enumerate(self._values)]

    def keep(self, kind: str, names: Mapping[str, str], order: Sequence[str]) -> None:
        """Keep the arguments of these names, under their new ones; the others go.

        An argument that would not stand at its place in `order`, the positional parameters of the new function, is
        named. Raises `Refused` for options that the new function does not take.
        """
        lost = sorted(one for one in self.options if names.get(one) != one)
        if lost:
            raise Refused(f"its options hold `{lost[0]}`, which the new norm does not take")
        names = {**names, "**": "**"}
        given = self.named(kind)
        for index in reversed(range(len(given))):
            if given[index][0] not in names:
                self.remove(index)
        for index, name in enumerate(names[one] for one, _ in given if one in names):
            if self._values[index][0] is not None or list(order[index : index + 1]) != [name]:
                self.name(index, name)

    def remove(self, index: int) -> None:
        self._text = layout.removed(self._text, index)
        del self._values[index]

    def name(self, index: int, name: str) -> None:
        if name == "**":
            return
        arguments = list(self._text.args)
        equal = arguments[index].equal if arguments[index].keyword is not None else self._equal
        arguments[index] = arguments[index].with_changes(keyword=cst.Name(name), equal=equal)
        self._text = self._text.with_changes(args=arguments)
        self._values[index] = (name, self._values[index][1])

    def prepend(self, text: str) -> None:
        """One more positional argument, the first."""
        self._text = layout.added(self._text, cst.Arg(self._outline.mark(text)), 0)
        self._values.insert(0, (None, expression(text)))

    def append(self, name: str, text: str) -> None:
        """One more keyword argument, the last."""
        new = cst.Arg(self._outline.mark(text), keyword=cst.Name(name), equal=self._equal)
        self._text = layout.added(self._text, new, len(self._text.args))
        self._values.append((name, expression(text)))

    def callee(self, text: str) -> None:
        """Another function to call."""
        self._callee = text

    def fix(self) -> Fix:
        """All steps together."""
        edits = [self._outline.edit(self._text)]
        if self._callee is not None:
            edits.insert(0, Edit(*self._source.span(self._call.func), self._callee))

        def intend() -> None:
            call = self._call
            if self._callee is not None:
                call.func = expression(self._callee)
            call.args = [value for name, value in self._values if name is None]
            named = [(name, value) for name, value in self._values if name is not None]
            call.keywords = [ast.keyword(None if name == "**" else name, value) for name, value in named]

        return Fix(edits, intend)
