"""Loops over the parameters of two models at once: by `zip`, or by name in two dicts."""

import ast

from normfix.script import Script, walk
from normfix.usage.steps import Scope, dotted, scope_of, subject

WRITERS = frozenset({"copy_", "lerp_", "mul_", "add_", "set_", "sub_", "div_", "fill_"})


def models_of(script: Script, loop: ast.For) -> tuple[str, str] | None:
    """The two models of `zip(x.parameters(), y.parameters())`; of two dicts, the one that is written comes first."""
    values = loop.iter
    while isinstance(values, ast.Call) and dotted(values.func) in ("enumerate", "list", "tqdm") and values.args:
        values = values.args[0]
    if not isinstance(values, ast.Call) or dotted(values.func) != "zip" or len(values.args) != 2:
        return _by_name(script, loop)
    first, second = (_model(script, loop, one) for one in values.args)
    return (first, second) if first and second else None


def _model(script: Script, loop: ast.For, value: ast.expr) -> str:
    if isinstance(value, ast.Name):
        value = scope_of(script, loop).value(value.id) or value
    while isinstance(value, ast.Call) and dotted(value.func) in ("list", "tuple", "iter") and value.args:
        value = value.args[0]
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and not value.args:
        return subject(value.func.value) if value.func.attr in ("parameters", "named_parameters") else ""
    return ""


def _by_name(script: Script, loop: ast.For) -> tuple[str, str] | None:
    """The models of `a = dict(x.named_parameters())` and `b`, where the loop writes `a[name]` and reads `b[name]`."""
    if not isinstance(loop.target, ast.Name) or "named_parameters" not in script.text:
        return None
    scope = scope_of(script, loop)
    if "named_parameters" not in script.text_of(scope.node):
        return None
    entries = [one for part in loop.body for one in walk(part) if isinstance(one, ast.Subscript)]
    entries = [one for one in entries if dotted(one.slice) == loop.target.id]
    stored = {_entry(node) for part in loop.body for node in walk(part)}
    written = {_model_of_dict(scope, one) for one in entries if one in stored}
    others = {_model_of_dict(scope, one) for one in entries} - written
    return (written.pop(), others.pop()) if len(written) == len(others) == 1 and "" not in written | others else None


def _entry(node: ast.AST) -> ast.expr | None:
    """The `a[name]` that a node writes: `a[name].data.mul_(m)`, `a[name].data = x`."""
    value = _written(node)
    while isinstance(value, (ast.Call, ast.Attribute)):
        if isinstance(value, ast.Attribute) and value.attr == "grad":
            return None
        value = value.func if isinstance(value, ast.Call) else value.value
    return value


def _model_of_dict(scope: Scope, entry: ast.Subscript) -> str:
    value = scope.value(dotted(entry.value))
    if isinstance(value, ast.Call) and dotted(value.func) == "dict" and len(value.args) == 1:
        call = value.args[0]
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "named_parameters":
            return subject(call.func.value)
    return ""


def written_of(loop: ast.For, models: tuple[str, str]) -> str:
    """The model whose parameters the loop writes; "" where it writes none, or only gradients."""
    target = loop.target
    if isinstance(target, ast.Name):
        return models[0]
    if isinstance(target, ast.Tuple) and isinstance(loop.iter, ast.Call) and dotted(loop.iter.func) == "enumerate":
        target = target.elts[-1]
    if not isinstance(target, ast.Tuple) or len(target.elts) != 2:
        return ""
    names = [{one.id for one in walk(part) if isinstance(one, ast.Name)} for part in target.elts]
    for statement in loop.body:
        for node in walk(statement):
            written = _target(node)
            if "grad" not in written.split("."):
                for own, model in zip(names, models, strict=True):
                    if written.partition(".")[0] in own:
                        return model
    return ""


def _target(node: ast.AST) -> str:
    """What a node writes to: `a.data` for `a.data = x`, `a` for `a.mul_(m).add_(x)`."""
    value = node.target if isinstance(node, ast.AugAssign) else _written(node)
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        value = value.func.value
    return dotted(value) if value is not None else ""


def _written(node: ast.AST) -> ast.expr | None:
    """What a node writes in place: `a.data` for `a.data = x`, `a.mul_(m)` for `a.mul_(m).add_(x)`."""
    if isinstance(node, ast.Assign):
        target = node.targets[0]
        return target if isinstance(target, ast.Attribute) and target.attr == "data" else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITERS:
        return node.func.value
    return None
