"""NF805 zero-centred-scale: the scale of batch norms is initialised around 0 instead of 1."""

import ast
from collections.abc import Iterator

from normfix.engine import SOURCE, Facts, Rule, on_script
from normfix.findings import Problem, Severity
from normfix.script import Script, walk
from normfix.usage.steps import dotted

RULE = Rule("NF805", "zero-centred-scale", Severity.INFO, readers=SOURCE)
RAISING = ("xavier", "glorot", "kaiming", "orthogonal", "dirac")


@on_script(RULE, words=("BatchNorm", "weight", "normal_|uniform_|" + "|".join(RAISING)))
def zero_centred_scale(script: Script, facts: Facts) -> Iterator[Problem]:
    """Under a test for batch norm, `weight` is drawn around 0, or with an initialiser for matrices."""
    if "BatchNorm" not in script.text or "weight" not in script.text:
        return
    for node in (one for one in script.of_type(ast.If) if _asks_for_batch_norm(one.test)):
        for call in (one for statement in node.body for one in walk(statement) if isinstance(one, ast.Call)):
            reason = _fault(script, call)
            if reason and not _stands_deeper(script, call, node):
                yield Problem(
                    script.site(call),
                    f"`{script.source(call.func)}` on the scale of batch norms {reason}",
                    help="Leave the scale at 1, or draw it around 1, as in `nn.init.normal_(m.weight, 1.0, 0.02)`",
                )


def _asks_for_batch_norm(test: ast.expr) -> bool:
    """Does a test hold for batch norms, by type or by the name of the class."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return False
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Eq | ast.NotIn) and "find" in ast.unparse(test):
        return False
    names = {dotted(node).rpartition(".")[2] for node in walk(test)}
    strings = {node.value for node in walk(test) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return any(word.startswith(("BatchNorm", "_BatchNorm", "SyncBatchNorm")) for word in names | strings)


def _stands_deeper(script: Script, call: ast.Call, node: ast.If) -> bool:
    """Does another test come between, which may single out other layers."""
    return next(script.ancestors(call, ast.If), None) is not node


def _fault(script: Script, call: ast.Call) -> str:
    """What is wrong with an initialisation of a `weight`; "" for anything else."""
    function = call.func
    if not isinstance(function, ast.Attribute):
        return ""
    method = function.attr
    owned = dotted(function.value)
    values = list(call.args)
    if script.resolve(function).startswith("torch.nn.init."):
        owned, values = (dotted(values[0]) if values else ""), values[1:]
    if owned.removesuffix(".data").rpartition(".")[2] != "weight":
        return ""
    keywords = {one.arg: one.value for one in call.keywords}
    if method.startswith(RAISING):
        return "raises: it is a vector, and this initialiser wants a matrix"
    if method in ("normal_", "trunc_normal_"):
        mean = values[0] if values else keywords.get("mean")
        return "centres it at 0: most channels start nearly dead" if mean is None or _is_zero(mean) else ""
    if method == "uniform_" and len(values) >= 2:
        low, high = values[:2]
        symmetric = isinstance(low, ast.UnaryOp) and ast.dump(low.operand) == ast.dump(high)
        return "centres it at 0: half of the channels start negative" if symmetric else ""
    return ""


def _is_zero(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value in (0, 0.0) and not isinstance(value.value, bool)
