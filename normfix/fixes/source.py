"""Python text as an edit sees it: the tree, where each node starts and ends in characters, what holds what."""

from __future__ import annotations

import ast
from bisect import bisect_right
from collections.abc import Iterator
from typing import TypeVar

from normfix.errors import Refused
from normfix.graph import Origin, Site
from normfix.script import NEWLINES

N = TypeVar("N", bound=ast.AST)
Place = tuple[ast.AST, str, int | None]
"""Where a node hangs: its parent, the field, and the index there if the field is a list."""


class Source:
    """One parsed text. Raises `Refused` when Python cannot read it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = parse(text)
        self.starts = [0, *(match.end() for match in NEWLINES.finditer(text))]
        self.places: dict[ast.AST, Place] = {}
        self._starting: dict[int, list[ast.AST]] = {}
        for node, place in _places(self.tree):
            self.places[node] = place
            self._starting.setdefault(getattr(node, "lineno", 0), []).append(node)

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Where the node starts and ends, in characters of the text."""
        return (
            self._offset(node.lineno, node.col_offset),  # type: ignore[attr-defined]  # statements and expressions only
            self._offset(node.end_lineno, node.end_col_offset),  # type: ignore[attr-defined]
        )

    def whole_span(self, statement: ast.stmt) -> tuple[int, int]:
        """Where the statement starts, its decorators included, and ends."""
        start, end = self.span(statement)
        decorators = getattr(statement, "decorator_list", [])
        if decorators:
            start = self.text.rindex("@", 0, self.span(decorators[0])[0])
        return start, end

    def range(self, site: Site) -> tuple[int, int]:
        """Where a site starts and ends, in characters of the text."""
        origin = origin_of(site)
        if max(origin.line, origin.end_line) > len(self.starts):
            raise Refused(f"line {origin.end_line} is not in the text")
        start = self.starts[origin.line - 1] + origin.column - 1
        end = self.starts[origin.end_line - 1] + origin.end_column - 1
        if not 0 <= start <= end <= len(self.text):
            raise Refused(f"line {origin.line}, column {origin.column} is not in the text")
        return start, end

    def find(self, site: Site, kind: type[N]) -> N:
        """The node of this type that stands exactly at the site."""
        wanted = self.range(site)
        line = origin_of(site).line
        for node in self._starting.get(line, ()):
            if isinstance(node, kind) and self.span(node) == wanted:
                # Before Python 3.12 nodes inside an f-string have made-up positions.
                if any(isinstance(parent, ast.JoinedStr) for parent in self.ancestors(node)):
                    raise Refused(f"line {line}: it stands inside an f-string")
                return node
        raise Refused(f"line {line}: no {kind.__name__} stands exactly there")

    def statement(self, site: Site) -> ast.stmt:
        """The smallest statement that holds the site."""
        start, end = self.range(site)
        found: ast.AST | None = self.tree
        smallest: ast.stmt | None = None
        while found is not None:
            found = next((one for one in _inner_statements(found) if self._holds(one, start, end)), None)
            smallest = found or smallest
        if smallest is None:
            raise Refused(f"line {origin_of(site).line}: no statement stands there")
        return smallest

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """What the node stands in, innermost first."""
        while node in self.places:
            node = self.places[node][0]
            yield node

    def line_around(self, offset: int) -> tuple[int, int]:
        """Start and end of the line that holds the offset, its line break included."""
        number = bisect_right(self.starts, offset) - 1
        following = self.starts[number + 1 : number + 2]
        return self.starts[number], following[0] if following else len(self.text)

    def newline(self) -> str:
        """The line break of this text: its first one."""
        match = NEWLINES.search(self.text)
        return match.group() if match else "\n"

    def replace(self, node: ast.AST, new: ast.AST) -> None:
        """Put another node where this one hangs in the tree."""
        parent, field, index = self.places[node]
        if index is None:
            setattr(parent, field, new)
        else:
            items = getattr(parent, field)
            items[items.index(node)] = new

    def _holds(self, statement: ast.stmt, start: int, end: int) -> bool:
        first, last = self.whole_span(statement)
        return first <= start and end <= last

    def _offset(self, line: int, column: int) -> int:
        start = self.starts[line - 1]
        # ast counts columns in UTF-8 bytes.
        end = self.starts[line] if line < len(self.starts) else len(self.text)
        head = self.text[start : min(end, start + column)]
        if head.isascii():
            return start + column
        return start + len(head.encode()[:column].decode())


def origin_of(site: Site) -> Origin:
    """The span of a site. Raises `Refused` where it has none."""
    if site.origin is None:
        raise Refused("it has no place in the source")
    return site.origin


def parse(text: str) -> ast.Module:
    """`ast.parse`, with every way to fail as `Refused`."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes are not our business
            return ast.parse(text)
    except SyntaxError as error:
        raise Refused(f"Python cannot parse line {error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise Refused(f"Python cannot parse it: {error}") from error


def expression(text: str) -> ast.expr:
    """The tree of an expression that a remedy brings along. Raises `Refused`."""
    body = parse(f"(\n{text}\n)").body
    if len(body) != 1 or not isinstance(body[0], ast.Expr):
        raise Refused(f"`{text}` is no expression")
    return body[0].value


def _places(tree: ast.AST) -> Iterator[tuple[ast.AST, Place]]:
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if isinstance(value, ast.AST):
                yield value, (parent, field, None)
            elif isinstance(value, list):
                for index, item in enumerate(value):
                    if isinstance(item, ast.AST):
                        yield item, (parent, field, index)


def _inner_statements(node: ast.AST) -> Iterator[ast.stmt]:
    """The statements of its bodies, not those inside them."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        elif isinstance(child, (ast.ExceptHandler, ast.match_case)):
            yield from child.body
