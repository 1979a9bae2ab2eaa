"""NF803 unbiased-variance-norm: a hand-written norm that divides by the sample deviation, or adds eps to the root.

`std()` and `var()` divide by n - 1; every norm of torch divides by n. A hand-written layer norm of width n with `std()`
is the one of torch times sqrt((n - 1) / n).
"""

import ast
from collections.abc import Iterator

from normfix.checks._definitions import problems
from normfix.engine import LIVE, SOURCE, Facts, Rule, on_graph, on_node
from normfix.findings import Problem, Severity
from normfix.graph import LayerGraph, Undecided
from normfix.lazy import pattern
from normfix.script import Script, walk
from normfix.usage.modules import is_module_class_anywhere
from normfix.usage.steps import called_name, dotted

RULE = Rule("NF803", "unbiased-variance-norm", Severity.INFO, readers=SOURCE | LIVE)
DEVIATIONS = frozenset({"std", "var", "std_mean", "var_mean"})
_CENTRES = frozenset({"mean", "std_mean", "var_mean"})
KINDS = ("batchnorm", "layernorm", "instancenorm", "groupnorm", "channelnorm")
LEARNT = frozenset({"weight", "bias", "gamma", "beta", "scale", "gain", "alpha", "affine"})
"""Names of what a norm learns, besides `nn.Parameter` itself."""
HELP = "Use the norm of torch; old weights carry over when the scale is multiplied by sqrt((n - 1) / n)"


SPREADS = (pattern(r"\.std(?:_mean)?[\s\\]*\("), pattern(r"\.var(?:_mean)?[\s\\]*\("))
CLASS = pattern(r"class[\s\\]+\w*[nN][oO][rR][mM]")


@on_node(RULE, ast.ClassDef, words=(CLASS, SPREADS))
def unbiased_variance_norm(node: ast.ClassDef, facts: Facts) -> Iterator[Problem]:
    """The forward of a class that is named a norm divides by `x.std()` with its defaults, or by `std + eps`."""
    script = facts.script
    name = node.name.lower()
    if script is None or "norm" not in name or "weightnorm" in name:
        return  # a weight norm measures what it makes of its first batch, to set its scale once
    forward = next((one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "forward"), None)
    if forward is None or "weight" in {dotted(one).rpartition(".")[2] for one in _measured(script, forward)}:
        return
    if not any(isinstance(one, ast.Attribute) and one.attr in _CENTRES for one in walk(forward)):
        return  # nothing is centred: no norm of torch does that, so there is none to agree with
    divisors = _divisors(script, forward)
    if not is_module_class_anywhere(script, node):
        return
    if not any(kind in name for kind in KINDS) and not _learns(script, node):
        return  # data scaled before it goes into a network: what matters is that this is done alike everywhere
    for call in (one for one in walk(forward) if isinstance(one, ast.Call) and _deviation(script, one)):
        if _is_unbiased(script, call) and (_names(script, call) & divisors or _divides(script, call)):
            yield Problem(
                script.site(call),
                f"`{script.source(call)}` divides by n - 1, the norms of torch by n: `{node.name}` does not compute "
                "what they do, and gives NaN for a single value",
                help=HELP,
            )
            return
    for division in (one for one in walk(forward) if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Div)):
        if _adds_eps_to_deviation(script, forward, division.right):
            yield Problem(
                script.site(division),
                f"`{script.source(division.right)}` in `{node.name}` adds eps to the deviation, the norms of torch to "
                "the variance: the gradient is NaN where the deviation is 0",
                help=HELP,
            )
            return


@on_graph(RULE)
def unbiased_in_model(graph: LayerGraph, facts: Facts) -> Iterator[Problem | Undecided]:
    """The same, in the classes of a live model."""
    yield from problems(unbiased_variance_norm, graph, facts, "forward", "norm")


def _deviation(script: Script, call: ast.Call) -> str:
    """The words "std", "var" and so on for a call that measures a spread; "" for any other."""
    last = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    torch = script.resolve(call.func) == f"torch.{last}"
    receiver = call.func.value if isinstance(call.func, ast.Attribute) else call
    # `self.running.std()` is a method of whatever object that is.
    foreign = script.resolve(receiver).partition(".")[0] in ("numpy", "np") or dotted(receiver).startswith("self.")
    return last if last in DEVIATIONS and (torch or not (foreign or last.endswith("_mean"))) else ""


def _learns(script: Script, node: ast.ClassDef) -> bool:
    """Does a class learn anything, or inherit from one that may: a layer, not a step of preparing data."""
    if any(script.resolve(one) not in ("torch.nn.Module", "torch.nn.modules.Module") for one in node.bases):
        return True
    names = {one.attr for one in walk(node) if isinstance(one, ast.Attribute)}
    names |= {one.id for one in walk(node) if isinstance(one, ast.Name)}
    return any("param" in name.lower() or name in LEARNT for name in names)


def _measured(script: Script, forward: ast.FunctionDef) -> Iterator[ast.AST]:
    """What spreads are measured of."""
    for call in (one for one in walk(forward) if isinstance(one, ast.Call) and _deviation(script, one)):
        torch = script.resolve(call.func).startswith("torch.")
        yield call.args[0] if torch and call.args else call.func.value if isinstance(call.func, ast.Attribute) else call


def _is_unbiased(script: Script, call: ast.Call) -> bool:
    given = {one.arg for one in call.keywords}
    flags = [one for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, bool)]
    return not given & {"unbiased", "correction", None} and not flags


def _names(script: Script, call: ast.Call) -> set[str]:
    """The names that the result of a call is bound to, through roots and sums as well."""
    for parent in script.ancestors(call, ast.stmt):
        if isinstance(parent, ast.Assign):
            return {one.id for target in parent.targets for one in walk(target) if isinstance(one, ast.Name)}
        return set()
    return set()


def _divisors(script: Script, forward: ast.FunctionDef) -> set[str]:
    """Names that the forward divides by, takes the root of, or raises to a negative power."""
    found: set[str] = set()
    for node in walk(forward):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            found |= {one.id for one in walk(node.right) if isinstance(one, ast.Name)}
        if isinstance(node, ast.Call) and called_name(node) in ("rsqrt", "sqrt"):
            found |= {one.id for one in walk(node) if isinstance(one, ast.Name)}
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and isinstance(node.right, ast.UnaryOp):
            found |= {one.id for one in walk(node.left) if isinstance(one, ast.Name)}
    return found


def _divides(script: Script, call: ast.Call) -> bool:
    """Does the call stand in a divisor."""
    child: ast.AST = call
    for parent in script.ancestors(call, ast.AST):
        if isinstance(parent, ast.stmt):
            return False
        if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Div) and parent.right is child:
            return True
        child = parent
    return False


def _adds_eps_to_deviation(script: Script, forward: ast.FunctionDef, divisor: ast.expr) -> bool:
    """Is a divisor `std + eps`, with `std` measured in this forward."""
    if not isinstance(divisor, ast.BinOp) or not isinstance(divisor.op, ast.Add):
        return False
    sides = (divisor.left, divisor.right)
    if not any("eps" in dotted(one).lower() for one in sides):
        return False
    calls = [one for one in walk(forward) if isinstance(one, ast.Call) and _deviation(script, one) == "std"]
    named = {name for call in calls for name in _names(script, call)}
    return any(one in calls or (isinstance(one, ast.Name) and one.id in named) for one in sides)
