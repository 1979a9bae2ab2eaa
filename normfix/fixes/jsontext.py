"""Where the strings of a JSON text stand, so that one can change and every other byte stays."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
Span = tuple[int, int]


def members(text: str, start: int) -> dict[str, Span]:
    """The values of the object at `start`, by key: where each starts and ends. The last of equal keys counts."""
    found: dict[str, Span] = {}
    position = _skip(text, start + 1)
    while text[position] != "}":
        key, position = _DECODER.raw_decode(text, position)
        position = _skip(text, _skip(text, position) + 1)
        found[key] = position, _DECODER.raw_decode(text, position)[1]
        position = _next(text, found[key][1])
    return found


def items(text: str, start: int) -> Iterator[Span]:
    """Where each item of the array at `start` starts and ends."""
    position = _skip(text, start + 1)
    while text[position] != "]":
        end = _DECODER.raw_decode(text, position)[1]
        yield position, end
        position = _next(text, end)


@dataclass(frozen=True, slots=True)
class Lines:
    """A text that JSON holds as one string, or as a list of strings to be joined."""

    raw: str
    literals: tuple[Span, ...]
    """Where each string stands, its quotes included."""
    listed: bool

    @classmethod
    def at(cls, raw: str, start: int) -> Lines:
        """Raises ValueError where neither a string nor a list stands."""
        if raw[start] == "[":
            return cls(raw, tuple(items(raw, start)), True)
        if raw[start] != '"':
            raise ValueError("the source of a cell is neither a string nor a list")
        return cls(raw, ((start, _DECODER.raw_decode(raw, start)[1]),), False)

    @property
    def pieces(self) -> list[str]:
        return [json.loads(self.raw[start:end]) for start, end in self.literals]

    def offset(self, character: int) -> int:
        """Where in the raw text this character of the joined text stands, or would."""
        last = len(self.literals) - 1
        for index, ((start, end), piece) in enumerate(zip(self.literals, self.pieces, strict=True)):
            if character < len(piece) or index == last:
                return start + 1 + _raw_length(self.raw[start + 1 : end - 1], character)
            character -= len(piece)
        raise ValueError("the cell holds no text")

    def written(self, text: str, start: int, end: int) -> str:
        """`text` as it stands between two characters of the joined text; in a list each line gets a string."""
        if not self.listed:
            return json.dumps(text, ensure_ascii=self.raw.isascii())[1:-1]
        whole = "".join(self.pieces)
        more = end < len(whole)
        lines = [json.dumps(line, ensure_ascii=self.raw.isascii())[1:-1] for line in text.split("\n")]
        between = f'"{self._separator()}"'
        head = "".join(f"{line}\\n{between}" for line in lines[:-1])
        head = between + head if text and start == len(whole) and whole.endswith("\n") else head
        return head + lines[-1] if lines[-1] or more else head.removesuffix(between)

    def _separator(self) -> str:
        (start, end), *rest = self.literals
        if rest:
            return self.raw[end : rest[0][0]]
        return "," + self.raw[self.raw.rindex("[", 0, start) + 1 : start]


def _raw_length(raw: str, characters: int) -> int:
    """How long the escapes are that stand for the first characters of a literal."""
    position = 0
    for _ in range(characters):
        if raw[position] != "\\":
            position += 1
        elif raw[position + 1] != "u":
            position += 2
        else:
            pair = re.match(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..", raw[position:])
            position += 12 if pair else 6
    return position


def _skip(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position


def _next(text: str, end: int) -> int:
    """The position after a comma, or of the closing bracket."""
    position = _skip(text, end)
    return _skip(text, position + 1) if text[position] == "," else position
