"""On which lines of a source something stands, and what code stands on them: no index of the whole file is needed."""

from __future__ import annotations

import ast
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence

from normfix.script import BLOCKS, FIELDS, Script, children


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


def calls_with(script: Script, *words: str) -> Sequence[ast.Call]:
    """The calls of the statements that hold one of these words, and perhaps others, in the order of the source."""
    if script.is_indexed:
        return script.of_type(ast.Call)
    return [one for one in _on_lines(script.tree, lines_with(script, *words)) if type(one) is ast.Call]


def _on_lines(block: ast.AST, lines: Sequence[int]) -> Iterator[ast.AST]:
    """The nodes of the statements in a block that stand on these lines, but for statements within that do not."""
    for field in BLOCKS:
        for one in getattr(block, field, ()):
            if isinstance(one, ast.stmt) and not _stands_on(one, lines):
                continue
            for name in FIELDS[type(one)]:
                value = getattr(one, name)
                for part in (value if isinstance(value, list) else [value]) if name not in BLOCKS else ():
                    yield from _in_order(part)
            yield from _on_lines(one, lines)


def _in_order(node: ast.AST | None) -> Iterator[ast.AST]:
    stack = [] if node is None else [node]
    while stack:
        one = stack.pop()
        yield one
        stack += children(one)[::-1]


def _stands_on(statement: ast.stmt, lines: Sequence[int]) -> bool:
    decorators = getattr(statement, "decorator_list", ())
    first = decorators[0].lineno if decorators else statement.lineno
    return bisect_left(lines, first) < bisect_right(lines, statement.end_lineno or first)


def _places(word: str, text: str) -> Iterator[int]:
    place = text.find(word)
    while place >= 0:
        yield place
        place = text.find(word, place + 1)
