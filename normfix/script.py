"""One parsed Python source, indexed: names resolved through imports, nodes by type, parents, spans.

Nothing is imported or executed. A notebook is one script whose origins name the cell.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from operator import attrgetter

from normfix.graph import LayerGraph, Origin, Site
from normfix.records import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    N = TypeVar("N", bound=ast.AST)
Function = ast.FunctionDef | ast.AsyncFunctionDef
NEWLINES = re.compile("\r\n|\r|\n")
"""What ends a line for the parser; `str.splitlines` would also split at form feeds."""
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_PLAIN = frozenset(
    "ctx op ops id attr arg module level asname kind conversion is_async simple type_comment rest kwd_attrs str".split()
)
"""Fields without nodes, and with those that are singletons (`Load`, `Add`): these have no place and no parent."""
_LEAVES = (ast.Constant, ast.MatchSingleton, ast.Global, ast.Nonlocal)
"""What holds values where others hold nodes."""


class _Fields(dict[type[ast.AST], tuple[str, ...]]):
    """The fields of a type of node that hold nodes, if anything."""

    def __missing__(self, kind: type[ast.AST]) -> tuple[str, ...]:
        fields = () if issubclass(kind, _LEAVES) else kind._fields
        # What a statement or a handler is called is text, but for `type Name = ...`.
        named = kind.__name__ == "TypeAlias"
        self[kind] = tuple(field for field in fields if field not in _PLAIN and (field != "name" or named))
        return self[kind]


FIELDS = _Fields()
BLOCKS = ("body", "handlers", "cases", "orelse", "finalbody")
"""Fields that hold statements, in the order of the source."""
_SIMPLE = frozenset(
    {ast.Assign, ast.Expr, ast.Return, ast.AugAssign, ast.AnnAssign, ast.Raise, ast.Import, ast.ImportFrom, ast.Pass}
    | {ast.Assert, ast.Delete, ast.Global, ast.Nonlocal, ast.Break, ast.Continue}
)
"""Statements that hold no others."""


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right below one, in the order of the source; no contexts, no operators."""
    found: list[ast.AST] = []
    content = node.__dict__
    for name in FIELDS[type(node)]:
        value = content.get(name)
        if type(value) is list:
            found += [item for item in value if item is not None] if None in value else value
        elif value is not None:
            found.append(value)
    return found


def lines_of(text: str) -> list[str]:
    """The lines of a text, as the parser counts them."""
    return text.split("\n") if "\r" not in text else NEWLINES.split(text)


def expression(text: str) -> ast.expr:
    """The tree of an argument as it is written in a call, whose brackets let it run over lines, perhaps starred."""
    call = ast.parse(f"f({text}\n)", mode="eval").body
    assert isinstance(call, ast.Call)
    return call.args[0]


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it in the order of `ast.walk`, in a third of its time; no contexts, no operators."""
    nodes = [node]
    for one in nodes:
        yield one
        content = one.__dict__
        for name in FIELDS[type(one)]:
            value = content.get(name)
            if type(value) is list:
                nodes += [item for item in value if item is not None] if None in value else value
            elif value is not None:
                nodes.append(value)


Nodes = dict[type[ast.AST], list[ast.AST]]
Parents = dict[ast.AST, ast.AST]


def outline(tree: ast.Module) -> tuple[Nodes, Parents]:
    """The statements by type, and what each stands in: a tenth of the nodes, and enough for most questions."""
    nodes: Nodes = defaultdict(list)
    parents: Parents = {}
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        kind = type(node)
        nodes[kind].append(node)
        if kind in _SIMPLE:
            continue
        content = node.__dict__
        first = len(stack)
        for name in BLOCKS:
            for item in content.get(name, ()):
                parents[item] = node
                stack.append(item)
        stack[first:] = stack[first:][::-1]
    return nodes, parents


def index(tree: ast.AST) -> tuple[Nodes, Parents]:
    """Every node by type, and what each stands in; no contexts, no operators."""
    nodes: Nodes = defaultdict(list)
    parents: Parents = {}
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        kind = type(node)
        nodes[kind].append(node)
        first = len(stack)
        content = node.__dict__
        for name in FIELDS[kind]:
            value = content.get(name)
            if type(value) is list:
                for item in value:
                    if item is not None:
                        parents[item] = node
                        stack.append(item)
            elif value is not None:
                parents[value] = node
                stack.append(value)
        stack[first:] = stack[first:][::-1]
    return nodes, parents


def _place(node: ast.AST) -> tuple[int, int] | None:
    line = getattr(node, "lineno", None)
    return None if line is None else (line, node.col_offset)  # type: ignore[attr-defined]  # it has a place


def _start(statement: ast.stmt) -> tuple[int, int]:
    """Where a statement begins, decorators included."""
    first = next(iter(getattr(statement, "decorator_list", ())), statement)
    return first.lineno, first.col_offset


@dataclass(eq=False)
class Script:
    """A source file as checks see it. Built by `readers/scripts.py`."""

    path: str
    text: str
    tree: ast.Module
    imports: dict[str, str]
    """What a top-level name stands for: {"nn": "torch.nn", "Conv2d": "torch.nn.Conv2d"}."""
    statements: Nodes
    """Every statement by its exact type, in the order of the source."""
    around: Parents
    """What each statement stands in."""
    origin_of: Callable[[ast.AST], Origin]
    """The span of a node, in the columns and cells that users see."""
    graphs: list[LayerGraph] = field(default_factory=list)
    """One for each module class and each container built outside one. Built by `readers/source.py`."""
    further: Callable[[], list[LayerGraph]] = field(default=list)
    """More graphs, read when they are asked for: no rule finds anything in them, but they use code of the others."""
    sibling: Callable[[str], tuple[Script, str] | None] = field(default=lambda name: None)
    """The script in which a file beside this one defines a dotted name, as `resolve` gives it, and its name there."""
    text_beside: Callable[[str], str | None] = field(default=lambda name: None)
    """The text of that script, which need not be parsed for it."""
    _near: Parents = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return f"<Script {self.path!r}: {len(self.text)} characters>"

    @cached_property
    def _index(self) -> tuple[Nodes, Parents]:
        return index(self.tree)

    @property
    def is_indexed(self) -> bool:
        """Was the whole tree walked over already, so that further questions cost nothing."""
        return "_index" in vars(self)

    @property
    def parents(self) -> Parents:
        """What each node stands in. The first question costs a walk over the whole tree."""
        return self._index[1]

    def around_of(self, node: ast.AST) -> Parents:
        """A table of what this node, and each that it stands in, stands in: no larger than it has to be."""
        if node in self.around or node is self.tree:
            return self.around
        if node not in self._near and not self.is_indexed:
            statement = self._top_level(node)
            if statement is not None and statement not in self._near:
                self._near |= index(statement)[1] | {statement: self.tree}
        return self._near if node in self._near else self.parents

    def _top_level(self, node: ast.AST) -> ast.stmt | None:
        """The statement of the file that holds a node, as far as their places tell."""
        place = _place(node)
        if place is None:
            return None
        return next((one for one in reversed(self.tree.body) if _start(one) <= place), None)

    @cached_property
    def stars(self) -> list[str]:
        """The modules of which the file takes everything, but for torch, as the beginning of a name: ".blocks."."""
        found = [one for one in self.of_type(ast.ImportFrom) if one.names[0].name == "*"]
        names = ["." * one.level + (f"{one.module}." if one.module else "") for one in found]
        return [one for one in names if not one.startswith("torch.")]

    def discard(self) -> None:
        """Take the tree apart, once nothing is asked any more: what refers to parts of it would keep it in memory."""
        for nodes in self.statements.values():
            for node in nodes:
                vars(node).clear()
        vars(self).pop("_index", None)
        self._near.clear()
        self.around.clear()
        self.further = list

    def of_type(self, kind: type[N]) -> Sequence[N]:
        """Every node of exactly this type, in the order of the source; the first one but a statement costs a walk."""
        nodes = self.statements if issubclass(kind, ast.stmt) else self._index[0]
        return nodes.get(kind, [])  # type: ignore[return-value]  # the index is keyed by the type itself

    def within(self, kind: type[N], outer: Function | ast.Module) -> Sequence[N]:
        """The statements of exactly this type that stand in a function, as their lines tell."""
        nodes, line = self.of_type(kind), attrgetter("lineno")
        if isinstance(outer, ast.Module):
            return nodes
        last = outer.end_lineno or outer.lineno
        return nodes[bisect_left(nodes, outer.lineno, key=line) : bisect_right(nodes, last, key=line)]

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text, as the parser counts them."""
        return lines_of(self.text)

    def text_of(self, outer: Function | ast.Module) -> str:
        """The lines that a function stands on, without those of its decorators."""
        if isinstance(outer, ast.Module):
            return self.text
        return "\n".join(self.lines[outer.lineno - 1 : outer.end_lineno])

    def resolve(self, node: ast.AST | None) -> str:
        """The dotted name that an expression stands for, through imports: "torch.nn.functional.relu".

        A name that was not imported stands for itself ("self.bn", "model"); what is no dotted name gives "".
        """
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        parts.append(self.imports.get(node.id, node.id))
        return ".".join(reversed(parts))

    def site(self, node: ast.AST) -> Site:
        return Site(origin=self.origin_of(node))

    def source(self, node: ast.AST) -> str:
        """The node as written, comments and line breaks included."""
        if getattr(node, "end_lineno", None) is None:
            return ast.unparse(node)
        first, last = node.lineno - 1, node.end_lineno - 1  # type: ignore[attr-defined]  # it has a span
        lines = [line.encode() for line in self.lines[first : last + 1]]
        lines[-1] = lines[-1][: node.end_col_offset]  # type: ignore[attr-defined]
        lines[0] = lines[0][node.col_offset :]  # type: ignore[attr-defined]
        return b"\n".join(lines).decode()

    def enclosing(self, node: ast.AST, kinds: type[N] | tuple[type[N], ...]) -> N | None:
        """The innermost node around this one of the given types; None at the top level."""
        return next(self.ancestors(node, kinds), None)

    def ancestors(self, node: ast.AST, kinds: type[N] | tuple[type[N], ...]) -> Iterator[N]:
        """The nodes around this one of the given types, innermost first."""
        parents = self.around_of(node)
        parent = parents.get(node)
        while parent is not None:
            if isinstance(parent, kinds):
                yield parent
            parent = parents.get(parent)

    def function_of(self, node: ast.AST) -> Function | None:
        """The function whose body holds this node; None at the top level."""
        return next((parent for parent in self.ancestors(node, ast.stmt) if isinstance(parent, FUNCTIONS)), None)

    def class_of(self, node: ast.AST) -> ast.ClassDef | None:
        """The class whose body holds this node; None outside one."""
        return self.enclosing(node, ast.ClassDef)
