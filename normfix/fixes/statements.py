"""Edits of whole statements: one more beside another, one less, one more parameter."""

from __future__ import annotations

import ast
import re

from normfix.errors import Refused
from normfix.findings import AddParameter, InsertStatement, RemoveStatement
from normfix.fixes.edits import Edit, Fix
from normfix.fixes.source import Source, parse

_BLANK = re.compile(r"[ \t\f]*")
_REST = re.compile(r"[ \t\f]*(#[^\r\n]*)?(\r\n|\r|\n|$)")
_BLOCKS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.If, ast.For, ast.While, ast.With, ast.Try)


def insert_statement(source: Source, remedy: InsertStatement) -> Fix:
    """One more statement, on lines of its own where its neighbour has one."""
    neighbour = source.statement(remedy.site)
    new = parse(remedy.text).body
    start, end = source.whole_span(neighbour)
    _check_place(source, neighbour, start, remedy.after)
    indent = _indent(source, start)
    rest = _REST.match(source.text, end)
    if indent is None or (remedy.after and rest is None):
        if "\n" in remedy.text:
            raise Refused("the new statement needs lines of its own, and its neighbour shares one")
        edit = Edit(end, end, f"; {remedy.text}") if remedy.after else Edit(start, start, f"{remedy.text}; ")
    elif not remedy.after:
        edit = Edit(
            start - len(indent), start - len(indent), f"{_laid_out(source, remedy.text, indent)}{source.newline()}"
        )
    else:
        assert rest is not None
        lines = _laid_out(source, remedy.text, indent)
        at_end = not rest.group(2)
        text = f"{source.newline()}{lines}" if at_end else f"{lines}{source.newline()}"
        edit = Edit(rest.end(), rest.end(), text)

    def intend() -> None:
        body = _body(source, neighbour)
        index = body.index(neighbour) + remedy.after
        body[index:index] = new

    return Fix((edit,), intend)


def remove_statement(source: Source, remedy: RemoveStatement) -> Fix:
    """Drop a statement that has lines of its own; a comment behind it stays, the last one of a body becomes `pass`."""
    gone = source.statement(remedy.site)
    start, end = source.whole_span(gone)
    indent = _indent(source, start)
    rest = _REST.match(source.text, end)
    if indent is None or rest is None:
        raise Refused("the statement shares its line with another one")
    whole = source.range(remedy.site)
    if whole != (start, end) and whole != source.span(getattr(gone, "value", None) or gone):
        raise Refused("the statement does more than that")
    if "#" in source.text[start:end]:
        raise Refused("a comment may stand inside the statement")
    body = _body(source, gone)
    alone = len(body) == 1

    def intend() -> None:
        body[body.index(gone) : body.index(gone) + 1] = [ast.Pass()] if alone else []

    if alone:
        return Fix((Edit(start, end, "pass"),), intend)
    if rest.group(1):
        return Fix((Edit(start, rest.start(1), ""),), intend)
    return Fix((Edit(start - len(indent), rest.end(), ""),), intend)


def add_parameter(source: Source, remedy: AddParameter) -> Fix:
    """`def train(self)` becomes `def train(self, mode=True)`; only behind plain parameters."""
    function = source.statement(remedy.site)
    if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
        raise Refused("no function is defined there")
    arguments = function.args
    if not arguments.args or arguments.defaults or arguments.vararg or arguments.kwonlyargs or arguments.kwarg:
        raise Refused(f"`{function.name}` has other parameters than plain ones")
    [lambda_] = [node for node in ast.walk(parse(f"lambda {remedy.text}: 0")) if isinstance(node, ast.Lambda)]
    end = source.span(arguments.args[-1])[1]

    def intend() -> None:
        arguments.args += lambda_.args.args
        arguments.defaults += lambda_.args.defaults

    return Fix((Edit(end, end, f", {remedy.text}"),), intend)


def _laid_out(source: Source, text: str, indent: str) -> str:
    """Lines that are indented by four blanks, with the indentation and the line breaks of the text."""
    first = next((node.body[0] for node in source.tree.body if isinstance(node, _BLOCKS)), None)
    unit = (first and _indent(source, source.whole_span(first)[0])) or "    "
    lines = [(line, line.lstrip(" ")) for line in text.split("\n")]
    return source.newline().join(f"{indent}{unit * ((len(line) - len(rest)) // 4)}{rest}" for line, rest in lines)


def _indent(source: Source, start: int) -> str | None:
    """What stands before a statement on its line; None when that is more than blanks."""
    line = source.line_around(start)[0]
    blank = _BLANK.match(source.text, line)
    return source.text[line:start] if blank is not None and blank.end() >= start else None


def _body(source: Source, statement: ast.stmt) -> list[ast.stmt]:
    parent, field, _ = source.places[statement]
    body: list[ast.stmt] = getattr(parent, field)
    return body


def _check_place(source: Source, neighbour: ast.stmt, start: int, after: bool) -> None:
    if after:
        if isinstance(neighbour, (ast.Return, ast.Raise, ast.Break, ast.Continue)):
            raise Refused("nothing runs after that statement")
        return
    parent, field, _ = source.places[neighbour]
    if isinstance(parent, ast.If) and field == "orelse" and source.text.startswith("elif", start):
        raise Refused("no statement fits before an `elif`")
    if isinstance(neighbour, ast.ImportFrom) and neighbour.module == "__future__":
        raise Refused("no statement fits before an import from `__future__`")
