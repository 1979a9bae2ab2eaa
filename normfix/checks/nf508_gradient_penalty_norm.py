"""NF508 gradient-penalty-norm: batch norm in a critic whose gradient is penalised sample by sample."""

import ast
from collections.abc import Iterator

from normfix.engine import SOURCE, Facts, Rule, on_script
from normfix.findings import Problem, Severity
from normfix.script import Script
from normfix.usage.calling import callers, passed
from normfix.usage.modules import classes, is_unit_test
from normfix.usage.networks import contents, defined, network_of
from normfix.usage.steps import Scope, dotted, scope_of, scopes, unwrapped

RULE = Rule("NF508", "gradient-penalty-norm", Severity.WARNING, readers=SOURCE)
GRAD = ("torch.autograd.grad",)
CRITICS = ("critic", "discriminator", "netd", "disc")


@on_script(RULE, words=("autograd", "create_graph"))
def gradient_penalty_norm(script: Script, facts: Facts) -> Iterator[Problem]:
    """A gradient penalty on the output of a network that holds batch norm."""
    if "autograd" not in script.text or is_unit_test(script):
        return
    for call in script.of_type(ast.Call):
        if script.resolve(call.func) in GRAD and _penalises(script, call):
            found = _critic(script, call)
            if found:
                yield Problem(
                    script.site(call),
                    f"`{found}` holds batch norm, so each of its outputs depends on the whole batch: the penalty on "
                    "its gradient is not one for each sample",
                    help="Use layer norm, instance norm or no norm in the critic",
                )


def _penalises(script: Script, call: ast.Call) -> bool:
    """Is the gradient one of a second order, whose norm is taken: the penalty of WGAN-GP."""
    keywords = {one.arg: one.value for one in call.keywords}
    if getattr(keywords.get("create_graph"), "value", False) is not True:
        return False
    function = script.function_of(call)
    around = ast.unparse(function if function is not None else script.tree)
    measured = "norm(" in around or "sqrt(" in around
    return measured and ("- 1" in around or "penalty" in around or "lambda_gp" in around or "gp" in around)


def _critic(script: Script, call: ast.Call) -> str:
    """The class of the network that the penalised output comes from; "" where it has no batch norm, or is not seen."""
    outputs = call.args[0] if call.args else next((one.value for one in call.keywords if one.arg == "outputs"), None)
    scope = scope_of(script, call)
    value = scope.value(dotted(outputs)) if outputs is not None and dotted(outputs) else outputs
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        inner = value.func.value
        made = scope.value(inner.id) if isinstance(inner, ast.Name) else None
        if made is None and not isinstance(inner, ast.Call):
            break
        value = made or inner
    name = dotted(value.func) if isinstance(value, ast.Call) else ""
    if name in scope.parameters() and not callers(script, scope.node):
        return _only_critic(script)
    for network in _networks(script, scope, call, name):
        if isinstance(network, ast.Call) and contents(script, network).batch_norm:
            core = unwrapped(network)
            return dotted(core.func) if isinstance(core, ast.Call) else name
    return ""


def _networks(script: Script, scope: Scope, call: ast.Call, name: str) -> Iterator[ast.expr | None]:
    """What the name of the critic may stand for: built in reach, or handed in by the callers in this file."""
    if name in scope.parameters():
        for caller in callers(script, scope.node):
            given = passed(caller, scope).get(name)
            if given is not None and dotted(given):
                yield network_of(script, caller, dotted(given))
    elif name.startswith("self."):
        for other in scopes(script).values():
            yield from other.bound.get(name, ())
    elif name:
        yield network_of(script, call, name)


def _only_critic(script: Script) -> str:
    """The one class of this file that is named as a critic, when it holds batch norm."""
    named = [one for one in classes(script) if any(word in one.lower() for word in CRITICS)]
    return named[0] if len(named) == 1 and defined(script, named[0]).batch_norm else ""
