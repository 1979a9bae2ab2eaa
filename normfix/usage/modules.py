"""What a source file says of modules: its classes, which of them are modules, and the layers that it constructs."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import lru_cache

from normfix import norms, vocabulary
from normfix.script import FUNCTIONS, Function, Script
from normfix.usage.lines import calls_with
from normfix.usage.steps import functions

BATCH_NORMS = frozenset(kind for kind in norms.BATCH if kind[0].isupper())
FILES = 3
"""How many files deep the bases of a class and the parts of a network are looked up."""


def is_module_class(script: Script, node: ast.ClassDef) -> bool:
    """Does a class derive from nn.Module, as far as its names tell."""
    return node in _module_classes(script)


@lru_cache(maxsize=8)
def _module_classes(script: Script) -> frozenset[ast.ClassDef]:
    found: set[ast.ClassDef] = set()
    size = -1
    while len(found) != size:
        size = len(found)
        names = {node.name for node in found}
        for node in script.of_type(ast.ClassDef):
            if any(_is_module_base(script.resolve(one), names) for one in node.bases):
                found.add(node)
    return frozenset(found)


def _is_module_base(name: str, own: set[str]) -> bool:
    last = name.rpartition(".")[2]
    return last in own or last.endswith(("Module", "PreTrainedModel")) or name.startswith("torch.nn.")


def is_torch_class(script: Script, node: ast.ClassDef) -> bool:
    """Does a class surely derive from nn.Module: through classes of this file, of torch.nn, or LightningModule."""
    own = classes(script)
    todo, seen = [node], {node}
    while todo:
        for name in (script.resolve(one) for one in todo.pop().bases):
            if name.startswith("torch.nn.") or name.rpartition(".")[2] in ("LightningModule", "PreTrainedModel"):
                return True
            if name in own and own[name] not in seen:
                seen.add(own[name])
                todo.append(own[name])
    return False


def derives_beside(script: Script, node: ast.ClassDef, depth: int = FILES) -> bool:
    """Does a class derive from nn.Module through a file beside this one; asked last, as that is parsed for it."""
    own, todo, foreign = classes(script), [node], dict[str, None]()
    for one in todo:
        for name in map(script.resolve, one.bases):
            if name not in own:
                foreign[name] = None
            elif own[name] not in todo:
                todo.append(own[name])
    return any(_is_module_beside(script, name, depth) for name in foreign if name)


@lru_cache(maxsize=64)
def _is_module_beside(script: Script, name: str, depth: int) -> bool:
    """Is this dotted name that of a class of modules in a file beside this one."""
    found = (script.sibling(name) or starred(script, name)) if depth else None
    definition = classes(found[0]).get(found[1]) if found is not None else None
    if found is None or definition is None:
        return False
    return is_torch_class_anywhere(found[0], definition, depth - 1)


def is_torch_class_anywhere(script: Script, node: ast.ClassDef, depth: int = FILES) -> bool:
    """Does a class surely derive from nn.Module, in this file or through a file beside it."""
    return is_torch_class(script, node) or derives_beside(script, node, depth)


def is_module_class_anywhere(script: Script, node: ast.ClassDef) -> bool:
    """Does a class derive from nn.Module, as far as its names tell, or through a file beside this one."""
    return is_module_class(script, node) or derives_beside(script, node)


@lru_cache(maxsize=8)
def classes(script: Script) -> dict[str, ast.ClassDef]:
    """Every class of a file by its name; of two of one name the last."""
    return {one.name: one for one in script.of_type(ast.ClassDef)}


@lru_cache(maxsize=16)
def definitions(script: Script) -> dict[str, ast.ClassDef | Function]:
    """Functions and classes at the top level, by name."""
    return {node.name: node for node in script.tree.body if isinstance(node, (ast.ClassDef, *FUNCTIONS))}


def starred(script: Script, name: str) -> tuple[Script, str] | None:
    """Where a name comes from that no statement binds: `from models import *`."""
    if "." in name:
        return None
    return next((found for one in script.stars if (found := script.sibling(f"{one}{name}")) is not None), None)


def layer_kind(script: Script, node: ast.AST) -> str:
    """The kind of the torch layer that a call constructs, as `vocabulary` knows it; "" for any other node."""
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    known = vocabulary.is_known(function.attr) if isinstance(function, ast.Attribute) else True
    if not known or (isinstance(function, ast.Name) and function.id not in script.imports):
        return ""
    name = script.resolve(function)
    kind = name.rpartition(".")[2]
    return kind if name.startswith("torch.nn.") and kind[:1].isupper() and vocabulary.is_known(kind) else ""


def calls_with_batch_norm(script: Script) -> Sequence[ast.Call]:
    """The calls that may construct a batch norm of torch, or are given the class, and others."""
    renamed = [name for name, meaning in script.imports.items() if meaning.rpartition(".")[2] in BATCH_NORMS]
    return calls_with(script, "BatchNorm", *(name for name in renamed if "BatchNorm" not in name))


def argument(call: ast.Call, kind: str, name: str) -> ast.expr | None:
    """What a constructor of this kind is given for a parameter; None where its default is in force."""
    given = {one.arg: one.value for one in call.keywords}
    names = list(vocabulary.positional(kind))
    index = names.index(name) if name in names else len(call.args)
    return call.args[index] if index < len(call.args) else given.get(name)


def is_unit_test(script: Script) -> bool:
    """Does the file test software: by its name, or by what it imports."""
    file = script.path.replace("\\", "/").rpartition("/")[2]
    roots = {name.partition(".")[0] for name in script.imports.values()}
    named = file.startswith("test_") and any(one.name.startswith("test") for one in functions(script))
    return file.endswith("_test.py") or file == "conftest.py" or named or bool(roots & {"pytest", "unittest"})
