"""Which numbers in a file nobody can know, told from its text: what is made of that which code outside it passes.

Who reads the file may know every other number, those above all that a call in it passes to a constructor.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cached_property

from normfix.lazy import pattern
from normfix.readers.bare_code import Part, arguments
from normfix.readers.stores import stores
from normfix.readers.uses import Uses

_FUNCTION = pattern(r"\n([ \t]*)(?:async[ \t]+)?def[ \t]+(\w+)[ \t]*(?=\()")
_DEF = pattern(r"def[ \t]")
_SUBSCRIPT = pattern(r"(?<=[\w\])])\[[^\[\]]+\]")
_SUM = pattern(r"[\w.\s+*/()%-]+")
_NAME = pattern(r"[A-Za-z_][\w.]*")
_CALL = pattern(r"[\w)][ \t]*\(")
_CHOOSING = frozenset({"or", "and", "not", "in", "is", "if", "else", "lambda", "await"})
_PARAMETER = pattern(r"\*{0,2}(\w+)[\s\S]*")
_OWN_BASES = frozenset({"nn.Module", "torch.nn.Module", "Module", "object"})
"""Bases that give an object nothing."""


class Unknowns:
    """Judges the numbers in one file, each parameter and attribute once."""

    def __init__(self, code: str, parts: Sequence[Part]) -> None:
        self._code, self._parts = code, parts
        self._starts = [part.start for part in parts]
        self._uses = Uses(code, parts)
        self._judged: dict[tuple[str, int], bool] = {}
        self._functions: dict[int, list[int]] = {}

    @cached_property
    def _heads(self) -> list[tuple[int, int]]:
        """Where functions start, and how deep they stand."""
        lines = (self._code.rfind("\n", 0, one.start()) for one in _DEF.finditer(self._code))
        return [(line, len(head[1])) for line in lines if (head := _FUNCTION.match(self._code, line))]

    def holds(self, text: str, place: int) -> bool:
        """Is the value of this expression, which stands at this place, surely not known: is a part of its sum not."""
        if " if " in text:
            first, _, rest = text.partition(" if ")
            _, _, second = rest.partition(" else ")
            return " if " not in second and all(self.holds(one, place) for one in (first, second))
        text = _SUBSCRIPT.sub("", text).replace("int(", "(")
        if not _SUM.fullmatch(text) or _CALL.search(text):
            return False
        names = _NAME.findall(text)
        return _CHOOSING.isdisjoint(names) and any(self._is_unknown(one, place) for one in names)

    def _is_unknown(self, name: str, place: int) -> bool:
        """Is a name not known, or what it is an attribute of."""
        head, _, rest = name.partition(".")
        part = self._parts[bisect_right(self._starts, place) - 1]
        if head != "self":
            return self._is_unknown_local(head, place, part)
        attribute = rest.partition(".")[0]
        key = (attribute, -part.start)
        if key not in self._judged:
            self._judged[key] = False
            self._judged[key] = self._is_unknown_attribute(attribute, part)
        return self._judged[key]

    def _is_unknown_local(self, name: str, place: int, part: Part) -> bool:
        starts = self._starts_in(part)
        start, end = starts[bisect_right(starts, place) - 1], starts[bisect_right(starts, place)]
        key = (name, start)
        if key not in self._judged:
            passed = name in self._parameters(start)
            self._judged[key] = passed  # until the contrary is found: classes may construct each other
            own = [one for one in stores(name, self._code, start, end) if self._code[one[0] - 1] != "."]
            self._judged[key] = (
                (passed or bool(own))
                and all(self.holds(value, where) for where, value in own)
                and (not passed or self._is_unknown_parameter(name, part, start))
            )
        return self._judged[key]

    def _is_unknown_attribute(self, name: str, part: Part) -> bool:
        """Is nothing that is known kept under this name; what no code here keeps there, a base from elsewhere does."""
        homes = self._uses.lineage(part)
        if any("setattr(" in self._code[home.start : home.end] for home in homes):
            return False
        found = [one for home in homes for one in stores(name, self._code, home.start, home.end)]
        if not found:
            known = {*_OWN_BASES, *(home.name for home in homes)}
            foreign = any(base not in known for home in homes for base in self._uses.bases(home))
            return foreign and not stores(name, self._code)
        return all(self.holds(value, where) for where, value in found)

    def _is_unknown_parameter(self, name: str, part: Part, start: int) -> bool:
        """Does nothing in the file that constructs this class, or calls this function, pass it what is known."""
        header = _FUNCTION.match(self._code, start)
        if header is None or not part.name or header[2] != ("__init__" if part.is_class else part.name):
            return False
        index = self._parameters(start).index(name) - part.is_class
        passed = ((_passed(given, name, index), place) for given, place in self._uses.of(part))
        return all(value is not None and self.holds(value, place) for value, place in passed)

    def _starts_in(self, part: Part) -> list[int]:
        """Where the methods of a class start, or where a function does; then where the part ends."""
        if part.start not in self._functions:
            own = self._heads[bisect_left(self._heads, (part.start,)) : bisect_left(self._heads, (part.end,))]
            depth = min((indentation for _, indentation in own), default=0)
            inner = [start for start, indentation in own if indentation == depth and start > part.start]
            self._functions[part.start] = [part.start, *inner, part.end]
        return self._functions[part.start]

    def _parameters(self, start: int) -> list[str]:
        """The names of the parameters of the function that starts here, in order."""
        header = _FUNCTION.match(self._code, start)
        given = arguments(self._code, header.end())[0] if header else []
        return [found[1] for one in given if (found := _PARAMETER.fullmatch(one))]


def _passed(given: list[str] | None, name: str, index: int) -> str | None:
    """What a parameter is passed; None where that is not told."""
    if given is None or any(one.startswith("*") for one in given):
        return None
    for one in given:
        key, equals, value = one.partition("=")
        if equals and key.rstrip() == name:
            return value.strip()
    return given[index] if index < len(given) and "=" not in given[index] else None
