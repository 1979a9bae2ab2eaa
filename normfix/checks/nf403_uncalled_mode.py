"""NF403 uncalled-mode: `model.eval` without parentheses is an attribute, and changes nothing."""

import ast
from collections.abc import Iterator

from normfix.engine import SOURCE, Facts, Rule, on_node
from normfix.findings import CompleteCall, Problem, Safety, Severity
from normfix.lazy import pattern
from normfix.script import Script
from normfix.usage.modules import is_module_class
from normfix.usage.steps import dotted, scopes, subject

RULE = Rule("NF403", "uncalled-mode", Severity.ERROR, readers=SOURCE)
MODES = frozenset({"eval", "train"})
METHODS = MODES | {"cuda", "cpu", "half", "zero_grad"}
UNCALLED = pattern(r"\.[\s\\]*(?:eval|train|cuda|cpu|half|zero_grad)[ \t\f]*(?:[;#)\\\r\n]|\Z)")
"""The method as the end of a statement, or of a part of one between brackets."""
DATA = "eval data index split env config cfg arg opt param phase task fold".split()
"""Parts of names that hold something called `train` or `eval` without being a module."""


@on_node(RULE, ast.Expr, words=(UNCALLED,))
def uncalled_mode(node: ast.Expr, facts: Facts) -> Iterator[Problem]:
    """A bare attribute as a statement has no effect, so nobody writes one on purpose."""
    script, value = facts.script, node.value
    if script is None or not isinstance(value, ast.Attribute) or value.attr not in METHODS:
        return
    if _is_probed(script, node) or not _is_method(script, value) or _is_shown(script, node, value):
        return
    site = script.site(value)
    text = script.source(value)
    effect = "the mode does not change" if value.attr in MODES else "nothing happens"
    yield Problem(
        site,
        f"`{text}` is not called, so {effect}",
        help=f"Call it: `{text}()`",
        remedy=CompleteCall(site),
        safety=Safety.SAFE,
    )


def _is_probed(script: Script, node: ast.Expr) -> bool:
    """Is the statement there to see whether the attribute exists."""
    parent = script.parents[node]
    if isinstance(parent, ast.With):
        return any("raises" in ast.unparse(one).lower() or "suppress" in ast.unparse(one) for one in parent.items)
    return isinstance(parent, ast.Try) and node in parent.body


def _is_method(script: Script, node: ast.Attribute) -> bool:
    """May the attribute be the method of a module: is it not stored, declared or imported as something else."""
    holder = subject(node.value)
    last = holder.rpartition(".")[2].lower()
    if (
        not holder
        or holder.partition(".")[0] in script.imports
        or (node.attr in MODES and any(w in last for w in DATA))
    ):
        return False
    if node.attr not in MODES and "torch" not in {name.partition(".")[0] for name in script.imports.values()}:
        return False
    if any(f"{holder}.{node.attr}" in scope.bound for scope in scopes(script).values()):
        return False
    return _fits_class(script, node, holder)


def _fits_class(script: Script, node: ast.Attribute, holder: str) -> bool:
    """Is what the name was built from, or the class around `self`, a module or unknown."""
    if holder == "self":
        owner = script.class_of(node)
        return owner is not None and is_module_class(script, owner)
    own = {one.name: one for one in script.of_type(ast.ClassDef)}
    values = [value for scope in scopes(script).values() for value in scope.bound.get(holder, ())]
    classes = [own[dotted(one.func)] for one in values if isinstance(one, ast.Call) and dotted(one.func) in own]
    return all(is_module_class(script, one) for one in classes)


def _is_shown(script: Script, node: ast.Expr, value: ast.Attribute) -> bool:
    """Does a notebook show the value, as the last of its cell, when nothing tells that it is a method."""
    cell = script.origin_of(node).cell
    if cell is None:
        return False
    following = [one for one in script.tree.body if one.lineno > node.lineno and script.origin_of(one).cell == cell]
    if following or node not in script.tree.body:
        return False
    name = subject(value.value)
    methods = {"parameters", "state_dict", "load_state_dict", "eval", "train", "to", "cuda"}
    return not any(
        call.func.attr in methods and dotted(call.func.value) == name
        for call in script.of_type(ast.Call)
        if isinstance(call.func, ast.Attribute)
    )
