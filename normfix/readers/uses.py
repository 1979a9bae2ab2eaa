"""What constructs a class of a file, or calls a function of it, told from bare code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from normfix.lazy import pattern
from normfix.readers.bare_code import Part, arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    Use = tuple[list[str] | None, int]
    """The arguments that are passed, and where; None where they are not seen."""

_BASES = pattern(r"\nclass[ \t]+\w+[ \t]*(?=\()")
_BUILT = pattern(r"(super\(\)|\w+)\.__init__(?=\()")
_COLLECTED = pattern(r"\n[ \t]*(\w+)(?:[ \t]*:[^=\n]*)?[ \t]*=[ \t]*(?=[\[{])")
"""A statement that gives a list or a dict a name."""
_LONGEST = 40
"""Lines of a list or dict that are looked through."""


class Uses:
    """Looks for the uses of what a file defines, each once."""

    def __init__(self, code: str, parts: Sequence[Part]) -> None:
        self._code = code
        self._parts = {part.name: part for part in parts if part.name}
        self._found: dict[str, list[Use]] = {}

    def of(self, part: Part) -> list[Use]:
        """What constructs this class or a subclass of it, or calls this function."""
        if part.name not in self._found:
            self._found[part.name] = []  # classes may derive from each other
            self._found[part.name] = [use for place in _places(part.name, self._code) for use in self._at(part, place)]
        return self._found[part.name]

    def bases(self, part: Part) -> list[str]:
        """How the bases of a class are written."""
        header = _BASES.match(self._code, part.start)
        return arguments(self._code, header.end())[0] if header else []

    def lineage(self, part: Part) -> list[Part]:
        """A class and its bases in the file."""
        found = [part]
        for one in found:
            known = (self._parts[base] for base in self.bases(one) if base in self._parts)
            found += [base for base in known if base not in found]
        return found

    def _at(self, part: Part, place: int) -> Iterator[Use]:
        """The uses that one mention tells of."""
        code, end = self._code, place + len(part.name)
        line = code[code.rfind("\n", 0, place) : place]
        if line.split()[-1:] in (["class"], ["def"]):
            return
        if code.startswith("(", end):
            yield arguments(code, end)[0], place
        elif line.startswith("\nclass"):
            yield from self._of_subclass(line.split("(")[0].split()[1])
        elif code.startswith(".__init__(", end):
            yield arguments(code, end + len(".__init__"))[0][1:], place
        elif code.startswith(".", end):
            yield from [(None, place)] if "cls(" in code[part.start : part.end] else []
        elif name := self._collection(place):
            yield from self._picked(name)
        elif "{" in line or not line.rstrip().endswith((":", "->", "|")):
            yield None, place

    def _of_subclass(self, name: str) -> Iterator[Use]:
        part = self._parts[name]
        code = self._code[part.start : part.end]
        if "def __init__" not in code:
            yield from self.of(part)
        for one in _BUILT.finditer(code):
            if one[1] == "super()":
                yield arguments(code, one.end())[0], part.start + one.start()

    def _collection(self, place: int) -> str:
        """The name of the list or dict that a mention stands in."""
        line = place
        for _ in range(_LONGEST):
            line = self._code.rfind("\n", 0, line)
            found = _COLLECTED.match(self._code, line)
            if found is not None:
                return found[1] if arguments(self._code, found.end())[1] > place else ""
            if line == 0:  # all code starts with a line break
                break
        return ""

    def _picked(self, name: str) -> Iterator[Use]:
        """The calls of what stands in a list or dict; its name may be put to no other use."""
        for place in _places(name, self._code):
            end = place + len(name)
            if self._code.startswith("[", end):
                _, end = arguments(self._code, end)
                yield arguments(self._code, end)[0] if self._code.startswith("(", end) else None, place
            elif self._code[end : end + 3].lstrip()[:1] not in ("=", ":"):
                yield None, place


def _places(name: str, code: str) -> Iterator[int]:
    """Where a name stands as a whole word."""
    place = code.find(name)
    while place >= 0:
        end = place + len(name)
        if not any(one.isalnum() or one == "_" for one in (code[place - 1], code[end : end + 1])):
            yield place
        place = code.find(name, end)
