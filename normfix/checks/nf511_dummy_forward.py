"""NF511 dummy-forward: a probe with made-up input, in training mode, moves the running statistics."""

import ast
from collections.abc import Iterator

from normfix.checks._attributes import normed_attributes
from normfix.checks._probes import MADE_UP, MAKERS, may_probe, scopes_with_makers
from normfix.engine import SOURCE, Facts, Rule, on_script
from normfix.findings import InsertStatement, Problem, Safety, Severity, Together
from normfix.script import Function, Script, walk
from normfix.usage.calling import callee, callers
from normfix.usage.modules import is_torch_class, is_unit_test
from normfix.usage.networks import contents
from normfix.usage.steps import Scope, dotted, position, scope_of, scopes, subject, switch

RULE = Rule("NF511", "dummy-forward", Severity.WARNING, readers=SOURCE)


@on_script(RULE, words=("torch", MADE_UP, may_probe))
def dummy_forward(script: Script, facts: Facts) -> Iterator[Problem]:
    """A forward pass with made-up input through batch norm, in a constructor or ahead of the training."""
    if "Lazy" in script.text or is_unit_test(script):
        return
    for scope in scopes_with_makers(script):
        for call in (one for one in scope.calls if one.args and _is_made_up(script, scope, one.args[0])):
            network = _probed_part(script, scope, call) or _probed_model(script, scope, call)
            if network:
                yield _problem(script, call, network)


def _problem(script: Script, call: ast.Call, network: str) -> Problem:
    site = script.site(call)
    direct = dotted(call.func) == network and _is_left(script, call)
    around = (InsertStatement(site, f"{network}.eval()"), InsertStatement(site, f"{network}.train()", after=True))
    return Problem(
        site,
        f"`{network}` takes made-up input into its running statistics: this pass runs in training mode, and `no_grad` "
        "does not stop the update",
        help=f"Put `{network}.eval()` before the pass and `{network}.train()` after it",
        remedy=Together(site, around) if direct else None,
        safety=Safety.UNSAFE if direct else Safety.DISPLAY,
    )


def _is_left(script: Script, call: ast.Call) -> bool:
    """Does the code go on behind the statement of the call, which runs once and does nothing but that."""
    around = next(script.ancestors(call, (ast.stmt, ast.Lambda)), None)
    return isinstance(around, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Expr | ast.Assert)


def _is_made_up(script: Script, scope: Scope, value: ast.expr, depth: int = 6) -> bool:
    """Is it a tensor of zeros, ones or noise, made here, or what parts of the module make of one."""
    if not depth:
        return False
    if isinstance(value, ast.Call):
        if script.resolve(value.func) in MAKERS:
            return True
        inner = value.args[0] if value.args and _passes_on(script, value) else None
        inner = value.func.value if inner is None and isinstance(value.func, ast.Attribute) else inner
        return inner is not None and _is_made_up(script, scope, inner, depth - 1)
    if isinstance(value, ast.Name) and value.id not in scope.parameters():
        first, *others = scope.bound.get(value.id, [None])
        again = all(one is not None and value.id in map(dotted, walk(one)) for one in others)
        return first is not None and again and _is_made_up(script, scope, first, depth - 1)
    return False


def _passes_on(script: Script, call: ast.Call) -> bool:
    """Does a call hand its first argument through a part of the module, a function of torch, or a wrapper."""
    name = dotted(call.func)
    return name.startswith("self.") or name.endswith("Variable") or script.resolve(call.func).startswith("torch.")


def _probed_part(script: Script, scope: Scope, call: ast.Call) -> str:
    """The part of a module, with batch norm, that a constructor or a helper of it sends the input through."""
    name = dotted(call.func)
    if name.partition(".")[0] != "self":
        return ""
    function, owner = scope.node, script.class_of(scope.node)
    if (
        isinstance(function, ast.Module)
        or owner is None
        or not is_torch_class(script, owner)
        or not _is_construction(script, function)
    ):
        return ""
    switches = [change for one in scope_of(script, call).calls if (change := switch(one)) is not None]
    before = [one for one in switches if position(one.call) < position(call)]
    if switches and not (before and before[-1].training and before[-1].subject == name):
        return ""
    normed = normed_attributes(script, owner)
    if name in normed:
        return name
    method = callee(script, call)
    if name == "self" or method is None or script.class_of(method) is not owner:
        return "self" if name == "self" and normed and _has_forward(owner) else ""
    used = {dotted(one.func) for one in scopes(script)[method].calls}
    return next((one for one in sorted(normed) if one in used), "")


def _is_construction(script: Script, function: Function) -> bool:
    """Is it a constructor, or a method that only constructors of this file call."""
    if function.name == "__init__":
        return True
    calls = callers(script, function)
    return bool(calls) and all(getattr(script.function_of(one), "name", "") == "__init__" for one in calls)


def _has_forward(owner: ast.ClassDef) -> bool:
    return any(isinstance(one, ast.FunctionDef) and one.name == "forward" for one in owner.body)


def _probed_model(script: Script, scope: Scope, call: ast.Call) -> str:
    """The model, with batch norm, that is probed here and trained or saved further down in the same scope."""
    name = dotted(call.func)
    value = scope.value(name) if name and "." not in name else None
    if value is None or not contents(script, value).batch_norm or contents(script, value).frozen:
        return ""
    earlier = [one for one in scope.calls if position(one) <= position(call)]
    if any((change := switch(one)) and change.subject in (name, "") for one in earlier if one is not call):
        changes = [one for one in map(switch, earlier) if one is not None and one.subject in (name, "")]
        if changes[-1].training is not True:
            return ""
    later = [one for one in scope.calls if position(one) > position(call)]
    used = {_result(script, call)} - {""}
    if any(_reads(one, used) for one in later if _ends(one) == "backward"):
        return ""
    again = any(dotted(one.func) == name and one.args and not _is_made_up(script, scope, one.args[0]) for one in later)
    trained = (again and any(_ends(one) == "backward" for one in later)) or any(
        callee(script, one) is not None and _gets(one, name) for one in later
    )
    saved = any(script.resolve(one.func) == "torch.save" and name in ast.unparse(one).split("'")[0] for one in later)
    kept = trained or saved or _is_returned(script, scope, call, name)
    return name if kept and not _feeds_loss(script, call, used, later) else ""


def _is_returned(script: Script, scope: Scope, call: ast.Call, name: str) -> bool:
    """Does the function that builds the model hand it out after the probe, and nothing that the probe gave."""
    function = scope.node
    if isinstance(function, ast.Module) or name in scope.parameters():
        return False
    returns = [one.value for one in walk(function) if isinstance(one, ast.Return) and position(one) > position(call)]
    names = {dotted(node) for value in returns if value is not None for node in walk(value)}
    return name in names and _result(script, call) not in names - {""}


def _result(script: Script, call: ast.Call) -> str:
    parent = script.parents[call]
    return dotted(parent.targets[0]) if isinstance(parent, ast.Assign) else ""


def _ends(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _gets(call: ast.Call, name: str) -> bool:
    return any(subject(one) == name for one in (*call.args, *(key.value for key in call.keywords)))


def _reads(call: ast.Call, names: set[str]) -> bool:
    return any(isinstance(node, ast.Name) and node.id in names for node in walk(call))


def _feeds_loss(script: Script, call: ast.Call, used: set[str], later: list[ast.Call]) -> bool:
    """Is the result more than looked at: handed to a call other than print and the like."""
    parent = script.parents[call]
    if isinstance(parent, ast.Call) and dotted(parent.func) != "print":
        return True
    return any(
        _reads(one, used) and dotted(one.func) not in ("print", "len", "type") and _ends(one) not in ("size", "numel")
        for one in later
    )
