"""Evaluations that follow a training epoch in the same code, with nothing between them that calls eval()."""

import ast
from collections.abc import Iterator

from normfix.checks._evaluations import ON_PURPOSE, Evaluation, is_idle
from normfix.checks._loaders import EVALUATION
from normfix.lazy import pattern
from normfix.script import FUNCTIONS, Script, walk
from normfix.usage.calling import callers, passed
from normfix.usage.flow import Event, aliases, events, mode_switch
from normfix.usage.gradless import gradless, gradless_scopes
from normfix.usage.modules import is_module_class
from normfix.usage.networks import contents
from normfix.usage.steps import Scope, dotted, loops, scope_of, scopes, subject, switch

EVALUATING = pattern(r"validat|evaluat|held.?out")


def validations(script: Script) -> Iterator[Evaluation]:
    """Forward passes without gradients, over data for evaluation, of a model that is surely in training mode."""
    seen: set[ast.Call] = set()
    for driver, name in _driven(script, _candidates(script)):
        happened = events(script, driver, name)
        for index, event in enumerate(happened):
            held_out = event.kind == "evaluation" and _is_validation(script, event.call)
            by_phase = event.kind == "forward" and _is_by_phase(script, event.call)
            if event.call in seen or not (held_out or by_phase):
                continue
            trained = _is_trained(script, happened[:index], event)
            if trained or _never_evaluated(script, name, happened):
                seen.add(event.call)
                statement = _apart(script, event.call) if trained else None
                yield Evaluation(
                    event.call, scope_of(script, event.call), subject(event.call.func), statement, for_good=False
                )


def _apart(script: Script, call: ast.Call) -> ast.stmt:
    """The outermost statement around an evaluation that trains nothing."""
    around = list(script.ancestors(call, ast.stmt))
    inside = [one for one in around if not isinstance(one, FUNCTIONS)]
    found = inside[0]
    for one in inside[1:]:
        if any(isinstance(part, ast.Attribute) and part.attr in ("backward", "train") for part in walk(one)):
            break
        if script.function_of(found) is not script.function_of(one):
            break
        found = one
    return found


def _candidates(script: Script) -> set[str]:
    """The names, here and where they are handed on from, of what may be run so: only these are looked into."""
    todo = [(scope_of(script, call), dotted(call.func)) for call in _passes(script)]
    found: set[str] = set()
    seen: set[tuple[ast.AST, str]] = set()
    while todo:
        scope, name = todo.pop()
        if not name or (scope.node, name) in seen:
            continue
        seen.add((scope.node, name))
        faces = aliases(scope, name)
        found |= faces
        given = ((call, passed(call, scope)) for call in callers(script, scope.node))
        todo += [(scope_of(script, call), subject(by[one])) for call, by in given for one in faces if one in by]
    return found


def _passes(script: Script) -> Iterator[ast.Call]:
    """The calls without gradients, always or by phase, that may be validations."""
    for node in gradless_scopes(script):
        for call in scopes(script)[node].calls:
            if dotted(call.func) and loops(script, call) and _may_be_one(script, call):
                yield call


def _may_be_one(script: Script, call: ast.Call) -> bool:
    return _is_by_phase(script, call) or (gradless(script, call) and _is_validation(script, call))


def _driven(script: Script, names: set[str]) -> Iterator[tuple[Scope, str]]:
    """The models of the file that eval() changes, each with the code that it is built in, and that of its object."""
    every = scopes(script)
    for scope in every.values():
        owner = script.class_of(scope.node)
        if owner is not None and is_module_class(script, owner):
            continue
        for name, values in ((one, scope.bound[one]) for one in scope.bound if one in names):
            known = [contents(script, value) for value in values if value is not None]
            if any(one.sensitive for one in known) and not any(one.frozen or one.switches for one in known):
                yield scope, name
                if scope.node is script.tree:
                    inner = (every[one] for one in gradless_scopes(script) if one is not script.tree)
                    yield from ((one, name) for one in inner if name not in one.bound and name not in one.parameters())
                if owner is not None and name.startswith("self."):
                    methods = (every[one] for one in owner.body if isinstance(one, FUNCTIONS))
                    yield from ((one, name) for one in methods if one is not scope)


def _is_validation(script: Script, model: ast.Call) -> bool:
    """Does it go over data for evaluation, apart from the steps of the training, and use what comes out."""
    scope = scope_of(script, model)
    around = loops(script, model)
    trains = any(
        isinstance(call.func, ast.Attribute) and call.func.attr == "backward" and loops(script, call)[:1] == around[:1]
        for call in scope.calls
    )
    read = [ast.unparse(one.iter) for one in around[:1] if not isinstance(one, ast.While)]
    words = " ".join([scope.name, *read]).lower().replace("_", " ")
    purpose = bool(EVALUATION.search(words) or EVALUATING.search(words)) and not ON_PURPOSE.search(scope.name.lower())
    return bool(around) and not trains and purpose and not is_idle(script, scope, model)


def _is_by_phase(script: Script, model: ast.Call) -> bool:
    """Is this `with torch.set_grad_enabled(phase == "train")`: in the other phase an evaluation."""
    if "set_grad_enabled" not in script.text:
        return False
    blocks = [item.context_expr for one in script.ancestors(model, ast.With) for item in one.items]
    return any(
        isinstance(one, ast.Call)
        and script.resolve(one.func).endswith("set_grad_enabled")
        and [ast.Compare] == [type(test) for test in one.args]
        and "train" in ast.unparse(one.args[0])
        for one in blocks
    )


def _is_trained(script: Script, before: list[Event], event: Event) -> bool:
    """Is the last switch before it a train() that every round of the loop around both comes to."""
    switches = [one for one in before if one.kind in ("eval", "train", "unclear")]
    last = switches[-1] if switches else None
    if last is None or last.kind != "train" or _is_conditional(script, last, event):
        return False
    change = switch(last.call)
    passes = {one.kind for one in before[before.index(last) :]}
    together = (
        event.kind == "evaluation"
        and loops(script, last.outer) == loops(script, event.outer)
        and last.outer is not event.outer
    )
    return together and change is not None and change.training is True and {"forward", "backward"} <= passes


def _is_conditional(script: Script, last: Event, event: Event) -> bool:
    """May the switch be left out where the evaluation is not."""
    inner = any(True for _ in script.ancestors(last.call, (ast.If, ast.Try, ast.Match))) and last.helper is not None
    around = set(script.ancestors(event.outer, (ast.If, ast.Try, ast.Match)))
    return inner or not set(script.ancestors(last.outer, (ast.If, ast.Try, ast.Match))) <= around


def _never_evaluated(script: Script, name: str, happened: list[Event]) -> bool:
    """Is the model trained here, and eval() called nowhere in the file on anything that it may be."""
    kinds = [one.kind for one in happened]
    if not {"forward", "backward"} <= set(kinds) or "unclear" in kinds or name.startswith("self."):
        return False
    changes = [one for call in script.of_type(ast.Call) if (one := mode_switch(script, call)) is not None]
    apart = "evaluation" not in kinds or "backward" in kinds[: kinds.index("evaluation")]
    return all(one.training is True for one in changes) and apart
