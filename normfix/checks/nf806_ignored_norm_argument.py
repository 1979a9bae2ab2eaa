"""NF806 ignored-norm-argument: a block takes `norm_layer` and builds the norm of its own choice."""

import ast
from collections.abc import Iterator

from normfix import norms
from normfix.checks._spelled import may_define_module
from normfix.engine import SOURCE, Facts, Rule, on_node
from normfix.findings import Problem, Severity
from normfix.lazy import pattern
from normfix.script import walk
from normfix.usage.modules import is_torch_class_anywhere, layer_kind
from normfix.usage.steps import dotted

RULE = Rule("NF806", "ignored-norm-argument", Severity.INFO, readers=SOURCE)
NAMES = ("norm_layer", "norm", "normalization", "norm_type")
KINDS = "|".join(sorted(kind for kind in norms.NORMS if kind.isidentifier() and kind[0].isupper()))
PARAMETER = pattern(r"norm(?<=[(,\s]norm)(?:_layer|alization|_type)?\s*[:=,)]")


@on_node(RULE, ast.ClassDef, words=("norm", "Norm|LRN", PARAMETER, KINDS, may_define_module))
def ignored_norm_argument(node: ast.ClassDef, facts: Facts) -> Iterator[Problem]:
    """A constructor with a parameter for the norm that its body never reads, though it builds a norm."""
    script = facts.script
    method = next((one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)
    parameters = [one for one in (*method.args.args, *method.args.kwonlyargs) if one.arg in NAMES] if method else []
    if script is None or method is None or not parameters:
        return
    built = next((one for one in walk(method) if layer_kind(script, one) in norms.NORMS), None)
    if built is None or _reads_all(method) or not is_torch_class_anywhere(script, node):
        return
    kind = layer_kind(script, built)
    for parameter in (one for one in parameters if not _is_used(method, one.arg)):
        yield Problem(
            script.site(parameter),
            f"`{parameter.arg}` of `{node.name}` is never used: `{kind}` is built whatever is passed",
            help=f"Build the norm with `{parameter.arg}`, or drop the parameter",
            related=[("the norm that is built", script.site(built))],
        )


def _is_used(method: ast.FunctionDef, name: str) -> bool:
    """Does a parameter stand anywhere in the body but where it gets a default: `if norm is None: norm = ...`."""
    own = [one for one in walk(method) if isinstance(one, ast.Name) and one.id == name]
    given = [part for one in walk(method) if _gives_default(one, name) for part in walk(one)]
    return any(one not in given for one in own)


def _gives_default(node: ast.AST, name: str) -> bool:
    """Is this `if norm is None: norm = ...`, `norm = norm or ...` or `norm = ... if norm is None else norm`."""
    if isinstance(node, ast.If):
        return _is_missing(node.test, name) and len(node.body) == 1 and not node.orelse and _sets(node.body[0], name)
    if not isinstance(node, ast.Assign) or not _sets(node, name):
        return False
    value = node.value
    if isinstance(value, ast.BoolOp) and isinstance(value.op, ast.Or):
        return len(value.values) == 2 and dotted(value.values[0]) == name
    return isinstance(value, ast.IfExp) and _is_missing(value.test, name) and dotted(value.orelse) == name


def _is_missing(test: ast.expr, name: str) -> bool:
    """Does a test ask whether a parameter was left out."""
    return (
        isinstance(test, ast.Compare)
        and dotted(test.left) == name
        and isinstance(test.ops[0], ast.Is)
        and isinstance(test.comparators[-1], ast.Constant)
        and test.comparators[-1].value is None
    )


def _sets(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.Assign) and [dotted(one) for one in node.targets] == [name]


def _reads_all(method: ast.FunctionDef) -> bool:
    """Does the body read its arguments as a whole."""
    return any(
        dotted(one.func) in ("locals", "vars", "eval", "exec") for one in walk(method) if isinstance(one, ast.Call)
    )
