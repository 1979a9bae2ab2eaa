"""Lets torch.export.load read a foreign file without executing what is in it.

A saved program can hold code in many places. While loading, torch runs it in pickled tensors and sample inputs, pickled
objects among its constants, objects of TorchScript, compiled libraries, sizes, which go through `sympy.sympify`, that
is through `eval`, and modules that its containers name, which are imported; later, when the program itself is run, in
its guards, names and operators.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import sympy  # type: ignore[import-untyped]  # it has no stubs here
import torch
from torch._export.serde import serialize
from torch.utils import _pytree

from normfix.readers.plain_program import codes, without_guards

try:
    from torch.export.pt2_archive import _package
except ImportError:  # torch before 2.8 keeps programs in another archive, which holds none of these
    _package = None  # type: ignore[assignment]

_PARTS = (
    ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Load, ast.Constant, ast.Tuple, ast.BinOp, ast.UnaryOp,
    ast.Compare, ast.BoolOp, ast.operator, ast.unaryop, ast.cmpop, ast.boolop,
)  # fmt: skip
"""What an expression over sizes is made of; no attribute, no subscript, no lambda."""


@contextmanager
def without_code() -> Iterator[list[str]]:
    """What runs inside may load a program. The list holds what was refused, in words; torch may hide that it failed."""
    refused: list[str] = []
    with ExitStack() as stack:
        # It makes every torch.load one of tensors only, those that ask for full unpickling too.
        stack.enter_context(patch.dict(os.environ, {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}))
        for home, name, closed in _doors(refused):
            if hasattr(home, name):
                stack.enter_context(patch.object(home, name, closed))
        yield refused


def _doors(refused: list[str]) -> tuple[tuple[object, str, object], ...]:
    """Each way in for code: the module, the name in it, and what stands there while a program is loaded."""
    refuse = partial(_refuser, refused)
    sympify, parse = sympy.sympify, serialize._dict_to_dataclass

    def plain(expression: object, *arguments: Any, **keywords: Any) -> Any:
        if isinstance(expression, str) and not is_plain(expression, keywords.get("locals") or {}):
            refuse(f"a size that is no expression, `{expression[:60]}`")()
        return sympify(expression, *arguments, **keywords)

    def checked(cls: Any, data: Any) -> Any:
        if isinstance(data, dict) and "graph_module" in data:
            for what in codes(data):
                refuse(what)()
            data = without_guards(data)
        return parse(cls, data)  # type: ignore[no-untyped-call]  # torch leaves it untyped

    def loaded(name: str) -> Any:
        return sys.modules[name] if name in sys.modules else refuse(f"a module to import, `{name}`")()

    return (
        (sympy, "sympify", plain),
        (serialize, "_dict_to_dataclass", checked),
        (_pytree, "importlib", SimpleNamespace(import_module=loaded)),
        (_package, "pickle", SimpleNamespace(loads=refuse("a pickled object"))),
        (_package, "_load_aoti", refuse("a compiled library")),
        (torch._C, "_pickle_load_obj", refuse("an object of TorchScript")),
    )


def _refuser(refused: list[str], what: str) -> Callable[..., Any]:
    """A function that keeps in mind what was refused, and fails."""

    def refuse(*arguments: object, **keywords: object) -> Any:
        refused.append(what)
        raise ValueError(what)

    return refuse


def is_plain(expression: str, names: Mapping[str, object]) -> bool:
    """Is a text numbers, names and functions of sympy only: `Symbol('s31', integer=True) + 1`."""
    try:
        tree = ast.parse(expression, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(isinstance(node, _PARTS) and _is_plain_node(node, names) for node in ast.walk(tree))


def _is_plain_node(node: ast.AST, names: Mapping[str, object]) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and (node.func.id in names or _is_of_sympy(node.func.id))
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        # Many classes of sympy evaluate the texts that they are given.
        return node.value.isidentifier()
    return not isinstance(node, ast.Name) or not node.id.startswith("__")


def _is_of_sympy(name: str) -> bool:
    found = getattr(sympy, name, None)
    return isinstance(found, type) and issubclass(found, sympy.Basic)
