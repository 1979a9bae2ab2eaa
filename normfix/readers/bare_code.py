"""The code of a source as text: without strings and comments, class by class, call by call."""

from __future__ import annotations

from normfix.lazy import pattern
from normfix.records import dataclass

_SPOKEN = pattern(
    r"#[^\n]*"
    r'|"""[^"\\]*(?:(?:\\[\s\S]|"(?!""))[^"\\]*)*(?:"""|\Z)'
    r"|\'\'\'[^'\\]*(?:(?:\\[\s\S]|'(?!''))[^'\\]*)*(?:\'\'\'|\Z)"
    r'|"[^"\\\n]*(?:\\[\s\S][^"\\\n]*)*"?'
    r"|'[^'\\\n]*(?:\\[\s\S][^'\\\n]*)*'?"
)
_SEPARATORS = (("\r\n", "\n"), ("\r", "\n"), ("\f", " "))
"""What else ends a line or stands between words."""
_HEAD = pattern(r"\n(?:(class)[ \t]+(\w+)|(?:async[ \t]+)?def[ \t]+(\w+)|[A-Za-z_@])")
_SIGNATURE = pattern(r"class\b[^:=]*|[ \t]*(?:async[ \t]+)?def\b[^={}]*[|:\[][ \t]*[\w.]*")
_BRACKET_OR_COMMA = pattern(r"[()\[\]{},]")


@dataclass(frozen=True, slots=True)
class Part:
    """A class, a function or another statement at the top level of bare code; the last of these has no name."""

    name: str
    start: int
    end: int
    is_class: bool


def bare(text: str) -> str:
    """The text, after a line break, without its comments and without its strings: not even the quotes are left."""
    for separator, plain in _SEPARATORS if "\r" in text or "\f" in text else ():
        text = text.replace(separator, plain)
    return "\n" + _SPOKEN.sub("", text)


def parts(code: str) -> list[Part]:
    """The parts of bare code, each from the line break before it."""
    heads = list(_HEAD.finditer(code))
    starts = [*(head.start() for head in heads), len(code)]
    return [
        Part(head[2] or head[3] or "", starts[index], starts[index + 1], bool(head[1]))
        for index, head in enumerate(heads)
    ]


def in_signature(code: str, place: int) -> bool:
    """Is what stands here, in a line of bare code, no more than a base or an annotation."""
    return _SIGNATURE.fullmatch(code, code.rfind("\n", 0, place) + 1, place) is not None


def arguments(code: str, opening: int) -> tuple[list[str], int]:
    """What stands between the commas of the call whose bracket opens here, and where that ends."""
    found: list[str] = []
    depth, start = 0, opening + 1
    for one in _BRACKET_OR_COMMA.finditer(code, opening):
        if one[0] in "([{":
            depth += 1
        elif one[0] != ",":
            depth -= 1
        if depth == 0 or (depth == 1 and one[0] == ","):
            found.append(code[start : one.start()].strip())
            start = one.end()
        if depth == 0:
            return found, one.end()
    return [*found, code[start:]], len(code)
