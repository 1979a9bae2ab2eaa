"""NF402 missing-train: the validation of an epoch calls eval(), and nothing puts the model back in training mode."""

import ast
from collections.abc import Iterator

from normfix.engine import SOURCE, Facts, Rule, on_script
from normfix.findings import InsertStatement, Problem, Safety, Severity
from normfix.graph import Undecided
from normfix.lazy import pattern
from normfix.script import Script, walk
from normfix.usage.calling import callee
from normfix.usage.conditions import opposed
from normfix.usage.flow import Event, effects, events
from normfix.usage.steps import Loop, Scope, dotted, loops, position, scope_of, scopes, subject, switch, unwrapped

RULE = Rule("NF402", "missing-train", Severity.WARNING, readers=SOURCE)
EVALS = (pattern(r"\.eval\(\s*\)"), pattern(r"\.train\(\s*(?:mode\s*=\s*)?False"))


@on_script(RULE, words=(".backward(", ".step(", EVALS))
def missing_train(script: Script, facts: Facts) -> Iterator[Problem | Undecided]:
    """A loop that trains a model and then calls eval() on it, with no train() anywhere in it or in its helpers."""
    every: list[Loop] = [*script.of_type(ast.For), *script.of_type(ast.While), *script.of_type(ast.AsyncFor)]
    new = {loop: _rebuilt(script, loop) for loop in every}
    for loop in every:
        scope, around = scope_of(script, loop), [new[one] for one in loops(script, loop)]
        # Of several loops the outermost one that does not build the model anew: epochs, not folds.
        names = _candidates(script, scope, loop) if all(around) else []
        for name in (one for one in names if one not in new[loop] and all(one in built for built in around)):
            try:
                found = _lasting_eval(script, scope, loop, name)
            except Undecided as undecided:
                yield undecided
                continue
            if found is not None:
                yield _problem(script, loop, name, found)


def _rebuilt(script: Script, loop: Loop) -> set[str]:
    """The names that each round of a loop, or a method that it calls, gives to what it builds anew or takes in turn."""
    inside = list(walk(loop))
    called = {one for call in inside if isinstance(call, ast.Call) and (one := callee(script, call)) is not None}
    stored = {name for one in called for part in walk(one) for name in _given(part) if name.startswith("self.")}
    taken = set() if isinstance(loop, ast.While) else {dotted(part) for part in walk(loop.target)}
    return stored | taken | {name for part in inside for name in _given(part)}


def _given(node: ast.AST) -> set[str]:
    """The names that are given what a call returns that does not take them, or an item of something."""
    if not isinstance(node, ast.Assign) or not isinstance(unwrapped(node.value), ast.Call | ast.Tuple | ast.Subscript):
        return set()
    targets = {dotted(part) for target in node.targets for part in walk(target)}
    return targets - {dotted(part) for part in walk(node.value)}


def _problem(script: Script, loop: Loop, name: str, found: Event) -> Problem:
    text = script.source(found.call)
    return Problem(
        script.site(found.call),
        f"`{text}` is never undone in the loop of line {script.origin_of(loop).line}: after the first round `{name}` "
        "is trained in eval mode, with frozen running statistics and without dropout",
        help=f"Call `{name}.train()` at the head of the loop",
        remedy=InsertStatement(script.site(loop.body[0]), f"{name}.train()"),
        safety=Safety.UNSAFE,
        related=[("the loop", script.site(loop))],
    )


def _candidates(script: Script, scope: Scope, loop: Loop) -> list[str]:
    """Names that may stand for a model in a loop: switched there, or handed to a helper."""
    inside = [call for call in scope.calls if position(loop) <= position(call) and loop in loops(script, call)]
    helped = [call for call in inside if callee(script, call) is not None]
    names = {subject(value) for call in helped for value in (*call.args, *(one.value for one in call.keywords))}
    names |= {change.subject for call in inside if (change := switch(call)) is not None}
    if helped:
        # What helpers switch without being handed it: attributes of their object, and globals.
        switched = {one.subject for call in script.of_type(ast.Call) if (one := switch(call)) is not None}
        top = scopes(script)[script.tree].bound
        names |= {one for one in switched if one.startswith("self.") or one in top}
    return sorted(name for name in names if name and name != "self")


def _lasting_eval(script: Script, scope: Scope, loop: Loop, name: str) -> Event | None:
    """The eval() of a round that its training is followed by and that lasts; None where there is none."""
    happened = events(script, scope, name, loop)
    first = next((one for one in happened if one.kind == "eval"), None)
    kinds = {one.kind for one in happened}
    if first is None or "train" in kinds or not {"forward", "backward", "step"} <= kinds:
        return None
    before = {one.kind for one in happened[: happened.index(first)]}
    if not {"forward", "backward"} <= before and not _is_for_other_phase(script, first, happened):
        # Another model is trained here, or eval mode is meant: a probe on frozen features.
        return None
    if any(position(call) < position(loop) for call in effects(script, scope, name).evals if call in scope.calls):
        return None
    unclear = next((one for one in happened if one.kind == "unclear"), None)
    if unclear is not None:
        raise Undecided(f"`{dotted(unclear.call.func)}` may put `{name}` back in training mode")
    return first


def _is_for_other_phase(script: Script, found: Event, happened: list[Event]) -> bool:
    """Is it an `if phase == "val": model.eval()` in a loop whose other phase has the backward pass."""
    training = [one for one in happened if one.kind == "backward"]
    around = loops(script, found.call)[:1]
    return bool(around) and all(
        loops(script, one.call)[1:2] == around and opposed(script, found.call, one.call) for one in training
    )
