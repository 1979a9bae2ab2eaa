"""`model = nn.SyncBatchNorm.convert_sync_batchnorm(model)` before a model is wrapped for several processes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from normfix.errors import Refused
from normfix.findings import InsertStatement, WrapExpression
from normfix.fixes.edits import Fix
from normfix.fixes.expressions import wrap_expression
from normfix.fixes.source import Source
from normfix.fixes.statements import insert_statement
from normfix.fixes.swap_support import torch_nn
from normfix.script import Script

_CONVERT = "SyncBatchNorm.convert_sync_batchnorm"
_ALIKE = ("DistributedDataParallel", "DDP")
_OWN_NAMES = (ast.Lambda, ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp)
_PERHAPS = (ast.IfExp, ast.BoolOp, ast.NamedExpr)
_SIMPLE = (ast.Assign, ast.AnnAssign, ast.Return, ast.Expr)


def conversions(source: Source, script: Script) -> Iterator[tuple[ast.expr, Callable[[], tuple[str, Fix]]]]:
    """Every call that wraps a model in DistributedDataParallel, with how to convert the model before it; what only has
    a name like that is refused."""
    for call in script.of_type(ast.Call):
        name = script.resolve(call.func).rpartition(".")[2]
        if name == "DistributedDataParallel":
            yield call, lambda call=call: _converted(source, script, call)  # type: ignore[misc]  # binds the loop's call
        elif name.endswith(_ALIKE):
            yield call, lambda name=name: _unknown(name)  # type: ignore[misc]  # binds the loop's name


def _unknown(name: str) -> tuple[str, Fix]:
    raise Refused(
        f"`{name}` is another library's, or a helper: convert the model before it with `nn.{_CONVERT}(model)` by hand"
    )


def _converted(source: Source, script: Script, call: ast.Call) -> tuple[str, Fix]:
    if any(script.resolve(other.func).endswith(_CONVERT) for other in script.of_type(ast.Call)):
        raise Refused("the file calls `convert_sync_batchnorm` already")
    model = call.args[0] if call.args else next((one.value for one in call.keywords if one.arg == "module"), None)
    prefix = torch_nn(script)
    if model is None or isinstance(model, ast.Starred):
        raise Refused("the model that is wrapped is not passed as an argument of its own")
    if prefix is None:
        raise Refused("the file imports neither `torch` nor `torch.nn`")
    convert = f"{prefix}.{_CONVERT}"
    if not isinstance(model, (ast.Name, ast.Attribute)) or not _runs_with_its_statement(source, call):
        return "converted to SyncBatchNorm", wrap_expression(
            source, WrapExpression(script.site(model), f"{convert}(", ")")
        )
    name = ast.unparse(model)
    return f"`{name}` converted to SyncBatchNorm", insert_statement(
        source, InsertStatement(script.site(call), f"{name} = {convert}({name})")
    )


def _runs_with_its_statement(source: Source, call: ast.Call) -> bool:
    """Does it run once, as soon as its statement does, and name there what the line before would name."""
    for node in source.ancestors(call):
        if isinstance(node, ast.stmt):
            return isinstance(node, _SIMPLE)
        if isinstance(node, (*_OWN_NAMES, *_PERHAPS)):
            return False
    return False
