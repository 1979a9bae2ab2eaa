"""Which function reads which node of the syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import cache

from normfix.readers.interpreter import (
    branches,
    calls,
    displays,
    expressions,
    iteration,
    operators,
    statements,
    subscripts,
    targets,
)
from normfix.readers.interpreter.values import Value


@cache
def expressions_by_type() -> Mapping[type[ast.AST], Callable[..., Value]]:
    """Built at the first use: the modules of the interpreter import each other."""
    return {
        ast.Attribute: expressions.attribute,
        ast.Call: calls.call,
        ast.IfExp: expressions.conditional,
        ast.Lambda: expressions.lambda_,
        ast.JoinedStr: expressions.formatted,
        ast.NamedExpr: expressions.named,
        ast.Starred: expressions.starred,
        ast.Yield: expressions.yielded,
        ast.YieldFrom: expressions.yielded,
        ast.Await: expressions.yielded,
        ast.BinOp: operators.binary,
        ast.UnaryOp: operators.unary,
        ast.Compare: operators.compare,
        ast.BoolOp: operators.boolean,
        ast.List: displays.list_,
        ast.Set: displays.list_,
        ast.Tuple: displays.tuple_,
        ast.Dict: displays.dict_,
        ast.ListComp: displays.comprehension_,
        ast.GeneratorExp: displays.comprehension_,
        ast.SetComp: displays.comprehension_,
        ast.DictComp: displays.dict_comprehension_,
        ast.Subscript: subscripts.subscript,
        ast.Slice: subscripts.slice_,
    }


@cache
def statements_by_type() -> Mapping[type[ast.stmt], Callable[..., int]]:
    """Built at the first use, likewise."""
    return {
        ast.If: branches.if_,
        ast.For: iteration.for_,
        ast.AsyncFor: iteration.for_,
        ast.While: iteration.while_,
        ast.Assign: targets.assign,
        ast.AnnAssign: targets.annotated,
        ast.AugAssign: targets.augmented,
        ast.Expr: statements.expression,
        ast.Return: statements.return_,
        ast.Raise: statements.raise_,
        ast.Continue: statements.jump,
        ast.Break: statements.jump,
        ast.Pass: statements.nothing,
        ast.Assert: statements.assert_,
        ast.Delete: statements.delete,
        ast.With: statements.with_,
        ast.AsyncWith: statements.with_,
        ast.Try: statements.try_,
        getattr(ast, "TryStar", ast.Try): statements.try_,
        ast.Match: statements.match,
        ast.FunctionDef: statements.define,
        ast.AsyncFunctionDef: statements.define,
        ast.ClassDef: statements.define_class,
        ast.Import: statements.import_,
        ast.ImportFrom: statements.import_,
        ast.Global: statements.outer,
        ast.Nonlocal: statements.outer,
    }
