"""Forward passes without gradients in source, and whether their model is known to be still in training mode."""

import ast
from collections.abc import Iterator
from functools import lru_cache

from normfix.checks._exports import construction, fresh, is_pretrained, keeper, loads_weights
from normfix.graph import Undecided
from normfix.lazy import pattern
from normfix.records import dataclass
from normfix.script import FUNCTIONS, Script, walk
from normfix.usage.calling import callee, callers, passed
from normfix.usage.flow import effects
from normfix.usage.gradless import gradless, gradless_scopes, turns_grad_off
from normfix.usage.steps import (
    Scope,
    dotted,
    position,
    scopes,
    stored,
    subject,
    switch,
    unwrapped,
)

ON_PURPOSE = pattern(
    r"recalib|calib|update_bn|bn_update|precise|statistic|stats|warm|mc_|monte|uncertain|ema|momentum|init|probe|shape"
    r"|flops|benchmark|profile|sanity|smoke|summary|preview"
)
"""Names of functions that may want training mode, or do not care."""
PASSES = pattern(
    r"forward|module|encod|decod|generat|sampl|predict|infer|extract|embed|feature|classif|reconstruct|backbone|head$"
)
"""Names of methods and parts whose call is a forward pass of the model, or of a part of it."""
SYNTHETIC = frozenset({"randn", "rand", "zeros", "ones", "empty", "randint", "randn_like", "zeros_like", "ones_like"})
NETWORK_NAME = pattern(r"(^|_)(model|net|network|classifier|backbone|encoder|unet|resnet|cnn)(\d|_|$)")


@dataclass(eq=False, slots=True)
class Evaluation:
    """The first forward pass of one model without gradients in one scope."""

    call: ast.Call
    scope: Scope
    name: str
    statement: ast.stmt | None
    """The outermost statement around it that begins after the model is built; None where eval() is not all it needs."""
    for_good: bool
    """Were gradients switched off with `set_grad_enabled(False)`."""


def evaluations(script: Script) -> Iterator[Evaluation]:
    """The forward passes without gradients whose results are used, one for each model and scope."""
    for scope in (scopes(script)[node] for node in gradless_scopes(script)):
        off = [call for call in scope.calls if turns_grad_off(script, call)]
        seen: set[str] = set()
        for call in scope.calls:
            name = _model_of(call)
            if not name or name in seen or switch(call) or not _may_be_network(script, scope, name):
                continue
            for_good = any(position(one) < position(call) for one in off)
            if (for_good or gradless(script, call)) and not is_idle(script, scope, call):
                seen.add(name)
                yield Evaluation(call, scope, name, _statement(script, scope, call, name), for_good)


def _model_of(call: ast.Call) -> str:
    """The model that a call runs: "model" for `model(x)`, `model.forward(x)` and `model.decoder(x)`."""
    name, _, part = dotted(call.func).partition(".")
    if name == "self":
        own, _, part = part.partition(".")
        name = f"self.{own}" if own else ""
    return name if not part or (PASSES.match(part) and "." not in part) else ""


def judge(script: Script, evaluation: Evaluation, broad: bool) -> bool:
    """Is the model of this evaluation in training mode: surely, or (`broad`) as far as the file shows."""
    if any(ON_PURPOSE.search(name.lower()) for name in (evaluation.scope.name, evaluation.name)):
        return False
    if broad and _is_evaluated_somewhere(script, evaluation.name):
        return False
    modes = effects(script, evaluation.scope, evaluation.name)
    if modes.evals or modes.trains or _trains(evaluation.scope):
        return broad and not modes.evals and not modes.trains
    sources = list(_sources(script, evaluation.scope, evaluation.name, 2))
    if broad:
        return bool(NETWORK_NAME.search(evaluation.name.lower())) and not any(
            effects(script, scope, name).evals for scope, name, _ in sources
        )
    if not sources:
        return False
    for scope, name, value in sources:
        outer = effects(script, scope, name)
        loaded = loads_weights(scope, name) or (value is not None and _brings_weights(script, value))
        if value is None or outer.evals or outer.trains or not (loaded or evaluation.for_good):
            return False
        known = fresh(script, value, False)
        if known is None:
            return False
        if outer.unclear:
            raise Undecided(f"the mode of `{name}` is not known: {outer.unclear[0]}")
    return True


def _brings_weights(script: Script, value: ast.expr) -> bool:
    """Is a network pretrained, or built by a function of this file that loads weights into what it returns."""
    core = unwrapped(value)
    function = callee(script, core) if isinstance(core, ast.Call) else None
    if function is None:
        return is_pretrained(value)
    inner = scopes(script)[function]
    returned = {dotted(one.value) for one in walk(function) if isinstance(one, ast.Return)}
    name = returned.pop() if len(returned) == 1 else ""
    return bool(name) and loads_weights(inner, name) and not effects(script, inner, name).unclear


def _sources(script: Script, scope: Scope, name: str, depth: int) -> Iterator[tuple[Scope, str, ast.expr | None]]:
    """Where the model of a scope is built: in the scope itself, at the top level, or by the callers in this file."""
    if name in scope.bound or name.startswith("self."):
        home = keeper(script, scope, name)
        yield home, name, construction(script, home, name)
    elif name in scope.parameters():
        for call in callers(script, scope.node) if depth else ():
            value = passed(call, scope).get(name)
            outer = scopes(script)[_scope_node(script, call)]
            if value is None or not subject(value):
                yield outer, name, None
            else:
                yield from _sources(script, outer, subject(value), depth - 1)
    else:
        top = scopes(script)[script.tree]
        yield top, name, construction(script, top, name) if name in top.bound else None


def _scope_node(script: Script, call: ast.Call) -> ast.AST:
    return script.function_of(call) or script.tree


def _may_be_network(script: Script, scope: Scope, name: str) -> bool:
    if name.startswith("self."):
        return name in stored(script)
    return name not in script.imports and name != "self" and "." not in name and name not in _defined(script)


@lru_cache(maxsize=1)
def _defined(script: Script) -> frozenset[str]:
    return frozenset(node.name for node in script.tree.body if isinstance(node, (ast.ClassDef, *FUNCTIONS)))


def is_idle(script: Script, scope: Scope, call: ast.Call) -> bool:
    """Is the result dropped, or the input made up: a pass that moves statistics on purpose, or a smoke test."""
    if isinstance(script.around_of(call)[call], ast.Expr) or not call.args:
        return True
    for value in call.args:
        known = scope.value(dotted(value)) if dotted(value) else value
        calls = [node for node in walk(known) if isinstance(node, ast.Call)] if known is not None else []
        if any(dotted(one.func).rpartition(".")[2] in SYNTHETIC for one in calls):
            return True
    return False


def _is_evaluated_somewhere(script: Script, name: str) -> bool:
    """Is eval() called on something of this name, or on something without one, anywhere in the file."""
    last = name.rpartition(".")[2]
    changes = (switch(call) for call in script.of_type(ast.Call))
    return any(
        one is not None and one.training is not True and one.subject.rpartition(".")[2] in ("", last) for one in changes
    )


def _trains(scope: Scope) -> bool:
    return any(isinstance(call.func, ast.Attribute) and call.func.attr in ("backward", "step") for call in scope.calls)


def _statement(script: Script, scope: Scope, call: ast.Call, name: str) -> ast.stmt:
    """The outermost statement of the scope around a call that does not hold the construction of its model."""
    built = [value for value in scope.bound.get(name, ()) if value is not None]
    around = list(script.ancestors(call, ast.stmt))
    found = around[0]
    for parent in around[1:]:
        if parent is scope.node or any(parent in set(script.ancestors(value, ast.stmt)) for value in built):
            break
        found = parent
    return found
