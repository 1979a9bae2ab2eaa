"""Edits of the arguments of one call, by libcst: every comment, comma and line break stays.

libcst sees the call with its function and its values left out (`_0_(_1_, eps=_2_)`), so what it is given is small
however large they are: it crashes on 2,000 nested parentheses and needs minutes for a sum of 20,000 terms.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

import libcst as cst

from normfix.errors import Refused
from normfix.findings import NameArgument, RemoveArgument, SetArgument
from normfix.fixes import layout
from normfix.fixes.edits import Edit, Fix, edited, smallest
from normfix.fixes.source import Source, expression
from normfix.vocabulary import is_known, positional

_MARK = re.compile(r"__normfix_(\d+)__")


def set_argument(source: Source, remedy: SetArgument) -> Fix:
    """`name=value`: a new keyword, or another value for the argument that is there."""
    call = source.find(remedy.site, ast.Call)
    value = expression(remedy.value)
    named = [one for one in call.keywords if one.arg == remedy.name]
    if len(named) > 1:
        raise Refused(f"`{remedy.name}` is passed twice, which Python does not compile")
    if named:
        return _replaced(source, named[0].value, value, remedy.value)
    position = remedy.position if remedy.position is not None else _position(call, remedy.name)
    if position is not None:
        return _replaced(source, _positional(call, position), value, remedy.value)
    for options in (one.value for one in call.keywords if one.arg is None):
        held = option_names(source, options)
        if held is None or remedy.name in held:
            raise Refused(f"`**{ast.unparse(options)}` may hold `{remedy.name}` already")
    outline = Outline(source, call)
    stars = [argument.star for argument in outline.call.args]
    new = cst.Arg(outline.mark(remedy.value), keyword=cst.Name(remedy.name), equal=layout.equal(outline.call.args))
    changed = layout.added(outline.call, new, stars.index("**") if "**" in stars else len(stars))
    index = next((index for index, one in enumerate(call.keywords) if one.arg is None), len(call.keywords))
    return Fix((outline.edit(changed),), lambda: call.keywords.insert(index, ast.keyword(remedy.name, value)))


def name_argument(source: Source, remedy: NameArgument) -> Fix:
    """`BatchNorm2d(c, 0.8)` becomes `BatchNorm2d(c, eps=0.8)`; what follows is named too."""
    call = source.find(remedy.site, ast.Call)
    _positional(call, remedy.position)
    names = (remedy.name, *remedy.later)
    values = call.args[remedy.position :]
    if len(values) != len(names):
        raise Refused(f"{len(values) - 1} positional arguments follow `{remedy.name}` and would have to be named too")
    if any(isinstance(value, (ast.Starred, ast.NamedExpr)) for value in values):
        raise Refused(f"`{remedy.name}` or what follows it is starred or assigned in place")
    if {keyword.arg for keyword in call.keywords} & set(names):
        raise Refused(f"`{remedy.name}` or what follows it is passed by keyword as well")

    def intend() -> None:
        del call.args[remedy.position :]
        call.keywords[:0] = [ast.keyword(name, value) for name, value in zip(names, values, strict=True)]

    outline = Outline(source, call)
    arguments = list(outline.call.args)
    for index, name in enumerate(names, remedy.position):
        arguments[index] = arguments[index].with_changes(keyword=cst.Name(name), equal=layout.equal(outline.call.args))
    return Fix((outline.edit(outline.call.with_changes(args=arguments)),), intend)


def remove_argument(source: Source, remedy: RemoveArgument) -> Fix:
    """Drop a keyword argument, with its comma."""
    call = source.find(remedy.site, ast.Call)
    index = next((index for index, one in enumerate(call.keywords) if one.arg == remedy.name), None)
    if index is None:
        raise Refused(f"`{remedy.name}` is not passed by keyword")

    def intend() -> None:
        del call.keywords[index]

    outline = Outline(source, call)
    names = [one.keyword.value if one.keyword else "" for one in outline.call.args]
    return Fix((outline.edit(layout.removed(outline.call, names.index(remedy.name))),), intend)


class Outline:
    """A call parsed by libcst, its function and values left out."""

    def __init__(self, source: Source, call: ast.Call) -> None:
        self.start, self.end = source.span(call)
        self.old = source.text[self.start : self.end]
        if "__normfix_" in self.old:
            raise Refused("the call holds a name that normfix uses itself")
        self.texts: list[str] = []
        fragment = edited(self.old, self._elisions(source, call))
        try:
            self.module = cst.parse_module(f"({fragment})")
        except cst.ParserSyntaxError as error:
            raise Refused(f"libcst cannot parse the call: {error.message}") from error
        if self._text(self.module) != self.old:
            raise Refused("libcst does not give the call back as it was written")
        line = cst.ensure_type(self.module.body[0], cst.SimpleStatementLine)
        self.call = cst.ensure_type(cst.ensure_type(line.body[0], cst.Expr).value, cst.Call)

    def mark(self, text: str) -> cst.Name:
        """A name that stands for this text."""
        self.texts.append(text)
        return cst.Name(f"__normfix_{len(self.texts) - 1}__")

    def edit(self, call: cst.Call) -> Edit:
        """The edit that puts the changed call in place."""
        module = cst.ensure_type(self.module.deep_replace(self.call, call), cst.Module)
        return smallest(self.old, self._text(module), self.start)

    def _elisions(self, source: Source, call: ast.Call) -> Sequence[Edit]:
        values = [one.value if isinstance(one, ast.Starred) else one for one in call.args]
        spans = [source.span(node) for node in (call.func, *values, *(one.value for one in call.keywords))]
        if any(end == self.end for _, end in spans):
            raise Refused("its only argument is a bare generator expression")
        return [
            Edit(start - self.start, end - self.start, self.mark(source.text[start:end]).value) for start, end in spans
        ]

    def _text(self, module: cst.Module) -> str:
        return _MARK.sub(lambda match: self.texts[int(match[1])], module.code[1:-1])


def _position(call: ast.Call, name: str) -> int | None:
    """Where a torch call passes this parameter by position. Raises `Refused` where that cannot be told."""
    if any(isinstance(one, ast.Starred) for one in call.args):
        raise Refused(f"a starred argument may hold `{name}` already")
    kind = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    names = positional(kind) if is_known(kind) else ()
    return names.index(name) if name in names and names.index(name) < len(call.args) else None


def option_names(source: Source, options: ast.expr) -> frozenset[str] | None:
    """What `**options` pass, where that is written out as a dict, here or where the name is assigned; else None."""
    if isinstance(options, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else None for key in options.keys]
        return frozenset(map(str, keys)) if None not in keys else None
    if isinstance(options, ast.Call):
        names = [one.arg for one in options.keywords]
        plain = isinstance(options.func, ast.Name) and options.func.id == "dict" and not options.args
        return frozenset(map(str, names)) if plain and None not in names else None
    if not isinstance(options, ast.Name):
        return None
    functions = (one for one in source.ancestors(options) if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)))
    home = next((one for one in functions if options.id in _set_in(one)), source.tree)
    same = [node for node in ast.walk(home) if isinstance(node, ast.Name) and node.id == options.id]
    parents = [source.places[node][0] for node in same if not isinstance(source.places[node][0], ast.keyword)]
    parameter = any(isinstance(one, ast.arg) and one.arg == options.id for one in ast.walk(home))
    if (
        parameter
        or not parents
        or not all(isinstance(one, ast.Assign) and not isinstance(one.value, ast.Name) for one in parents)
    ):
        return None
    held = [option_names(source, one.value) for one in parents if isinstance(one, ast.Assign)]
    return frozenset().union(*(one for one in held if one is not None)) if None not in held else None


def _set_in(function: ast.AST) -> set[str]:
    """Names that a function sets or takes."""
    nodes = list(ast.walk(function))
    taken = {one.arg for one in nodes if isinstance(one, ast.arg)}
    return taken | {one.id for one in nodes if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}


def _positional(call: ast.Call, position: int) -> ast.expr:
    if position >= len(call.args) or any(isinstance(one, ast.Starred) for one in call.args[: position + 1]):
        raise Refused(f"argument {position + 1} is not passed by position, or a starred one stands before it")
    return call.args[position]


def _replaced(source: Source, old: ast.expr, new: ast.expr, text: str) -> Fix:
    start, end = source.span(old)
    return Fix((smallest(source.text[start:end], text, start),), lambda: source.replace(old, new))
