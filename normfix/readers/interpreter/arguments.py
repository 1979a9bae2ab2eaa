"""What a call passes, and what a function takes."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from normfix.graph import Unknown
from normfix.readers.interpreter.values import Scope, Value


class Passed:
    """One argument at a call: its value, and the expression where there is one."""

    __slots__ = ("node", "position", "scope", "value")

    def __init__(self, value: Value, node: ast.expr | None, position: int | None, scope: Scope) -> None:
        self.value = value
        self.node = node
        self.position = position
        self.scope = scope


class Arguments:
    """What a call passes. `incomplete` is set when a `*args` or `**kwargs` could not be read."""

    __slots__ = ("incomplete", "keywords", "positional")

    def __init__(
        self, positional: list[Passed], keywords: dict[str, Passed], incomplete: Unknown | None = None
    ) -> None:
        self.positional = positional
        self.keywords = keywords
        self.incomplete = incomplete

    @property
    def unread(self) -> Unknown | None:
        """Set when some arguments are not known one by one, a starred list whose length is open included."""
        if self.incomplete is None:
            for passed in self.positional:
                if passed.position is None:
                    return Unknown("a list of unknown length is spread into the call")
        return self.incomplete

    def get(self, index: int, name: str) -> Value | None:
        """The value passed at a position or by a name; None where it is not passed."""
        if 0 <= index < len(self.positional):
            return self.positional[index].value
        passed = self.keywords.get(name)
        return passed.value if passed is not None else None

    def values(self) -> Iterator[Value]:
        for passed in self.positional:
            yield passed.value
        for passed in self.keywords.values():
            yield passed.value

    def after(self, first: Arguments) -> Arguments:
        """These arguments, with those of `first` before them: what a partial passes on."""
        return Arguments(
            [*first.positional, *self.positional],
            {**first.keywords, **self.keywords},
            first.incomplete or self.incomplete,
        )


class Signature:
    """The parameters of a function."""

    __slots__ = ("defaults", "keywords", "names", "star", "stars")

    def __init__(self, spec: ast.arguments) -> None:
        self.names = [argument.arg for argument in (*spec.posonlyargs, *spec.args)]
        self.keywords = [argument.arg for argument in spec.kwonlyargs]
        """Those that are passed by their name only."""
        self.star = spec.vararg.arg if spec.vararg is not None else None
        self.stars = spec.kwarg.arg if spec.kwarg is not None else None
        """What takes the arguments that no other parameter does: `*args` and `**kwargs`."""
        self.defaults: dict[str, ast.expr] = dict(zip(self.names[::-1], spec.defaults[::-1], strict=False))
        own = zip(self.keywords, spec.kw_defaults, strict=True)
        self.defaults.update({name: default for name, default in own if default is not None})
