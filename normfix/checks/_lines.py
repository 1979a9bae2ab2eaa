"""On which lines of a source something stands, and whether a piece of code holds one of these lines."""

import ast
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence

from normfix.script import Script


def lines_with(script: Script, *words: str) -> Sequence[int]:
    """The numbers of the lines that hold one of these words, in order."""
    return lines_where(script, lambda text: (place for word in words for place in _places(word, text)))


def lines_where(script: Script, places: Callable[[str], Iterable[int]]) -> Sequence[int]:
    """The numbers of the lines that hold the places which a question about a text gives, in order."""
    text = "\n".join(script.lines) if "\r" in script.text else script.text
    found: list[int] = []
    line, last = 1, 0
    for place in sorted(places(text)):
        line, last = line + text.count("\n", last, place), place
        found.append(line)
    return found


def of_node(lines: Sequence[int], node: ast.stmt) -> Sequence[int]:
    """Those of the lines that a statement stands on; its decorators stand above it."""
    return lines[bisect_left(lines, node.lineno) : bisect_right(lines, node.end_lineno or node.lineno)]


def _places(word: str, text: str) -> Iterator[int]:
    place = text.find(word)
    while place >= 0:
        yield place
        place = text.find(word, place + 1)
