"""NF503 thawed-norm: the parameters of a network are frozen, the running statistics of its batch norms are not."""

import ast
from collections.abc import Iterator

from normfix import norms
from normfix.checks._defaults import is_true
from normfix.checks._spelled import may_define_module
from normfix.engine import LIVE, SOURCE, Facts, Rule, on_graph, on_script
from normfix.findings import Problem, Severity
from normfix.graph import Layer, LayerGraph
from normfix.lazy import pattern
from normfix.script import FUNCTIONS, Script, walk
from normfix.usage.calling import callers, passed
from normfix.usage.flow import aliases
from normfix.usage.lines import calls_with
from normfix.usage.modules import is_module_class, is_unit_test
from normfix.usage.parts import holding
from normfix.usage.steps import Scope, dotted, scope_of, scopes, subject, switch

RULE = Rule("NF503", "thawed-norm", Severity.WARNING, readers=SOURCE | LIVE)
HELP = "Keep these batch norms in eval mode: call `eval()` on them after every `train()`, best in an overridden `train`"
SECOND = pattern(r"teacher|target|ema|momentum|shadow|key|_k$|_t$|disc|critic|net_?[dg]$|^d$|^g$|gen|percep|lpips|vgg")
"""Names of networks that are frozen beside the one that is trained, or that take turns with it."""
_GAP, _OPEN = r"(?:[\s\\]|#[^\n]*\n)*", r"(?:[\s\\(]|#[^\n]*\n)*"
FREEZES = pattern(rf"requires_grad_{_GAP}\({_OPEN}(?:\w+{_GAP}={_OPEN})?False\b")
SETS = (
    FREEZES,
    pattern(rf"requires_grad{_GAP}=(?!=){_OPEN}(?:[\w.]+{_GAP}=(?!=){_OPEN})*False\b"),
    pattern(rf"requires_grad[\"']{_GAP},{_OPEN}False\b"),
)
"""A network is frozen by a method of its own, or its parameters are in a loop."""
TRAINS = pattern(rf"\.{_GAP}(?:train|backward|fit)\b")
LISTED = pattern(r"requires_grad(?:_\s*\(|[\"'])[^()]*\)(?:[\s\\)]|#[^\n]*\n)*for\b")
HEADS = frozenset("fc head heads classifier last_linear linear output out logits decoder projection proj".split())
"""Parts of a network behind its last batch norm, by the names that their parameters begin with."""
THAWS = pattern("requires_grad_")
ELSEWHERE = ("FrozenBatchNorm", "freeze_bn", "freeze_batch", "track_running_stats", "adabn", "lora", "adapter", "peft")


def _may_train(text: str) -> bool:
    """May a network be frozen whole here, and stay in training mode: the file trains, or it is a part of a module."""
    whole = "parameters" in text or FREEZES.search(text) is not None
    return whole and (TRAINS.search(text) is not None or ("self" in text and may_define_module(text)))


@on_script(RULE, words=("requires_grad", SETS, _may_train))
def thawed_norm(script: Script, facts: Facts) -> Iterator[Problem]:
    """A network with batch norm whose parameters get `requires_grad = False`, and which is then trained as it is."""
    if "requires_grad" not in script.text or is_unit_test(script) or any(one in script.text for one in ELSEWHERE):
        return
    frozen = list(_frozen(script))
    thawed = set(_thawed(script)) if frozen else set()
    for node, scope, name in frozen:
        if (
            name in thawed
            or SECOND.search(name.rpartition(".")[2].lower())
            or not _holds_batch_norm(script, scope, name)
        ):
            continue
        if _stays_in_training_mode(script, scope, name):
            yield Problem(
                script.site(node),
                f"parameters of `{name}` are frozen here, but its batch norms stay in training mode: their running "
                "statistics go on changing, and its features with them",
                help=HELP,
            )


def _frozen(script: Script) -> Iterator[tuple[ast.stmt | ast.expr, Scope, str]]:
    """Each place that freezes a network, with the scope that knows the network and its name there.

    A function that freezes what it is given does so for its callers in this file.
    """
    for node, name in _switched(script, False):
        scope = scope_of(script, node)
        yield node, scope, name
        for caller in callers(script, scope.node) if name in scope.parameters() else ():
            given = passed(caller, scope).get(name)
            if given is not None and subject(given) and _comes_to(script, node, scope, caller):
                yield caller, scope_of(script, caller), subject(given)


def _thawed(script: Script) -> Iterator[str]:
    """The names of networks that are thawed somewhere, also by a function that is handed them."""
    for node, name in _switched(script, True):
        yield name
        scope = scope_of(script, node)
        for caller in callers(script, scope.node) if name in scope.parameters() else ():
            given = passed(caller, scope).get(name)
            yield from [subject(given)] if given is not None else []


def _comes_to(script: Script, node: ast.AST, scope: Scope, caller: ast.Call) -> bool:
    """Does a function come to this place whatever it is told, or as this call sets the one flag that it asks."""
    around = list(script.ancestors(node, (ast.If, ast.Try)))
    if len(around) != 1 or not isinstance(around[0], ast.If) or node not in around[0].body:
        return not around
    flag = dotted(around[0].test)
    return flag not in scope.bound and is_true(script, scope_of(script, caller), passed(caller, scope).get(flag))


def _switched(script: Script, value: bool) -> Iterator[tuple[ast.stmt | ast.expr, str]]:
    """Each place where all parameters of a network get this `requires_grad`, with the name of the network."""
    switches = THAWS if value else FREEZES
    for call in calls_with(script, "requires_grad_") if switches.search(script.text) else ():
        if isinstance(call.func, ast.Attribute) and call.func.attr == "requires_grad_":
            given = [*call.args, *(one.value for one in call.keywords)]
            chosen = getattr(given[0], "value", None) if given else True
            if chosen is value and subject(call.func.value) and not _is_parameter(script, call):
                yield call, subject(call.func.value)
    for loop in script.of_type(ast.For):
        name = _network_of_loop(loop)
        if name and any(_sets(one, value) for statement in loop.body for one in _for_all_but_heads(statement)):
            yield loop, _whole(script, loop, name) if value else _network_of_child(script, loop, name)
    for listed in script.of_type(ast.ListComp) if LISTED.search(script.text) else ():
        first, *others = listed.generators
        name = _network_of_loop(first)
        if name and not others and not first.ifs and _sets_one(listed.elt, value):
            yield listed, name


def _for_all_but_heads(statement: ast.stmt) -> list[ast.stmt]:
    """The statements that run for every parameter, or for every one whose name does not say that it is of a head."""
    if not isinstance(statement, ast.If):
        return [statement]
    words = [one.value for one in walk(statement.test) if isinstance(one, ast.Constant)]
    negative = isinstance(statement.test, ast.UnaryOp) or (
        isinstance(statement.test, ast.Compare) and isinstance(statement.test.ops[0], ast.NotIn)
    )
    heads = [str(one).strip(".").partition(".")[0].lower() for one in words]
    return statement.body if negative and heads and HEADS.issuperset(heads) else []


def _whole(script: Script, loop: ast.For, name: str) -> str:
    """The network of `for part in net.children(): for p in part.parameters()`; else the name itself."""
    outer = next(script.ancestors(loop, ast.stmt), None)
    if isinstance(outer, ast.For) and dotted(outer.target) == name and isinstance(outer.iter, ast.Call):
        function = outer.iter.func
        if isinstance(function, ast.Attribute) and function.attr in ("children", "modules") and not outer.iter.args:
            return subject(function.value) or name
    return name


def _is_parameter(script: Script, call: ast.Call) -> bool:
    """Is the subject the variable of a loop over parameters, rather than a network."""
    name = subject(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    loops = [one.target for one in script.ancestors(call, ast.For)]
    loops += [one.target for listed in script.ancestors(call, ast.ListComp) for one in listed.generators]
    return any(name in {dotted(node) for node in walk(target)} for target in loops)


def _network_of_loop(loop: ast.For | ast.comprehension) -> str:
    """The `net` of `for p in net.parameters()`, `for name, p in net.named_parameters()`."""
    values = loop.iter
    if not isinstance(values, ast.Call) or not isinstance(values.func, ast.Attribute) or values.args:
        return ""
    return subject(values.func.value) if values.func.attr in ("parameters", "named_parameters") else ""


def _network_of_child(script: Script, loop: ast.For, name: str) -> str:
    """The `net` of `for child in net.children()` around the loop, where all its first children are frozen."""
    for outer in script.ancestors(loop, ast.For):
        if name in {dotted(one) for one in walk(outer.target)}:
            tests = [one.test for one in script.ancestors(loop, ast.If) if outer.lineno < one.lineno]
            return _network_of_children(outer.iter) if all(_is_count(one) for one in tests) else ""
    return name


def _network_of_children(values: ast.expr) -> str:
    """The `net` of `net.children()`, also counted, as a list, or cut off at the end."""
    while not isinstance(values, ast.Call) or dotted(values.func) in ("enumerate", "list"):
        if isinstance(values, ast.Subscript) and isinstance(values.slice, ast.Slice) and not values.slice.lower:
            values = values.value
        elif isinstance(values, ast.Call) and len(values.args) == 1:
            values = values.args[0]
        else:
            return ""
    function = values.func
    walks = isinstance(function, ast.Attribute) and function.attr in ("children", "named_children", "modules")
    return subject(function.value) if isinstance(function, ast.Attribute) and walks else ""


def _is_count(test: ast.expr) -> bool:
    """Is this `index < 7`."""
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.ops[0], (ast.Lt, ast.LtE))
        and isinstance(test.left, ast.Name)
        and isinstance(getattr(test.comparators[-1], "value", None), int)
    )


def _sets(statement: ast.stmt, value: bool) -> bool:
    """Does a statement of the loop body, under no condition, set requires_grad."""
    if isinstance(statement, ast.Assign):
        target = statement.targets[0]
        return (
            isinstance(target, ast.Attribute)
            and target.attr == "requires_grad"
            and (getattr(statement.value, "value", None) is value)
        )
    return isinstance(statement, ast.Expr) and _sets_one(statement.value, value)


def _sets_one(call: ast.expr, value: bool) -> bool:
    """Is this `p.requires_grad_(value)`, or `setattr(p, "requires_grad", value)`."""
    if not isinstance(call, ast.Call):
        return False
    given = [getattr(one, "value", None) for one in (*call.args, *(one.value for one in call.keywords))]
    if dotted(call.func) == "setattr":
        return given[1:] == ["requires_grad", value]
    return isinstance(call.func, ast.Attribute) and call.func.attr == "requires_grad_" and (given or [True]) == [value]


def _holds_batch_norm(script: Script, scope: Scope, name: str) -> bool:
    values = [(scope, value) for face in aliases(scope, name) for value in scope.bound.get(face, ())]
    owner = script.class_of(scope.node)
    if not values and name.startswith("self.") and owner is not None:
        methods = [scopes(script)[one] for one in owner.body if isinstance(one, FUNCTIONS)]
        values = [(method, value) for method in methods for value in method.bound.get(name, ())]
    if not values and name not in scope.parameters():
        top = scopes(script)[script.tree]
        values = [(top, value) for value in top.bound.get(name, ())]
    known = [holding(script, home, value) for home, value in values if value is not None]
    return any(one.batch_norm for one in known) and not any(one.frozen or one.switches for one in known)


def _stays_in_training_mode(script: Script, scope: Scope, name: str) -> bool:
    """Is the network trained in training mode: switched to it, or never switched while the file trains."""
    owner = script.class_of(scope.node)
    if owner is not None and any(isinstance(one, ast.FunctionDef) and one.name == "train" for one in owner.body):
        return False
    changes = [one for call in calls_with(script, "eval", "train") if (one := switch(call)) is not None]
    evals = {one.subject for one in changes if one.training is not True}
    trains = {one.subject for one in changes if one.training is not False}
    if any(one != name and one not in trains for one in evals):
        # Some part of it, or each norm in a loop, is put in eval mode and left there.
        return False
    if name in evals or name in trains:
        return name in trains
    inside = owner is not None and is_module_class(script, owner) and name.startswith("self.")
    return inside or _trains(script)


def _trains(script: Script) -> bool:
    return any(
        isinstance(call.func, ast.Attribute) and call.func.attr in ("backward", "fit")
        for call in calls_with(script, "backward", "fit")
    )


@on_graph(RULE)
def frozen_and_moving(graph: LayerGraph, facts: Facts) -> Iterator[Problem]:
    """Batch norms with frozen parameters, in training mode, in a model that is trained otherwise."""
    if facts.purpose != "training" or not any(
        tensor.requires_grad for layer in graph.layers for tensor in layer.state.values()
    ):
        return
    found = [layer for layer in graph.layers if _moves(layer)]
    if found:
        also = f" and {len(found) - 1} more" if len(found) > 1 else ""
        yield Problem(
            found[0].site,
            f"`{found[0].name}`{also} has frozen parameters but is in training mode: its running statistics go on "
            "changing",
            help=HELP,
        )


def _moves(layer: Layer) -> bool:
    parameters = [layer.state[name] for name in ("weight", "bias") if name in layer.state]
    return (
        layer.kind in norms.BATCH
        and layer.training is True
        and "running_mean" in layer.state
        and bool(parameters)
        and not any(one.requires_grad for one in parameters)
    )
