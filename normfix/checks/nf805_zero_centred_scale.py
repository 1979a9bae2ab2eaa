"""NF805 zero-centred-scale: the scale of batch norms is initialised around 0 instead of 1."""

import ast
from collections.abc import Iterator

from normfix.engine import SOURCE, Facts, Rule, on_script
from normfix.findings import Problem, Severity
from normfix.lazy import pattern
from normfix.script import FUNCTIONS, Script, walk
from normfix.usage.lines import calls_with
from normfix.usage.modules import BATCH_NORMS, layer_kind
from normfix.usage.steps import dotted, scopes

RULE = Rule("NF805", "zero-centred-scale", Severity.INFO, readers=SOURCE)
OWN = pattern(r"(self\.\w+)\.weight\b")
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
                yield _problem(script, call, reason)
    for call in calls_with(script, "weight") if OWN.search(script.text) else ():
        if (owned := OWN.fullmatch(_scale(script, call)[0])) and (reason := _fault(script, call)):
            owner = script.class_of(call)
            if owner is not None and _is_batch_norm(script, owner, owned[1]):
                yield _problem(script, call, reason)


def _problem(script: Script, call: ast.Call, reason: str) -> Problem:
    return Problem(
        script.site(call),
        f"`{script.source(call.func)}` on the scale of batch norms {reason}",
        help="Leave the scale at 1, or draw it around 1, as in `nn.init.normal_(m.weight, 1.0, 0.02)`",
    )


def _is_batch_norm(script: Script, owner: ast.ClassDef, name: str) -> bool:
    """Is every value that a class gives an attribute of its own a batch norm."""
    methods = [scopes(script)[one] for one in owner.body if isinstance(one, FUNCTIONS)]
    values = [value for method in methods for value in method.bound.get(name, ())]
    return bool(values) and all(value is not None and layer_kind(script, value) in BATCH_NORMS for value in values)


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
    owned, values = _scale(script, call)
    if not isinstance(call.func, ast.Attribute) or owned.rpartition(".")[2] != "weight":
        return ""
    method = call.func.attr
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


def _scale(script: Script, call: ast.Call) -> tuple[str, list[ast.expr]]:
    """What an initialisation writes, `m.weight`, and its other arguments."""
    function, values = call.func, call.args
    owned = dotted(function.value) if isinstance(function, ast.Attribute) else ""
    if script.resolve(function).startswith("torch.nn.init."):
        owned, values = (dotted(values[0]) if values else ""), values[1:]
    return owned.removesuffix(".data"), values


def _is_zero(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value in (0, 0.0) and not isinstance(value.value, bool)
