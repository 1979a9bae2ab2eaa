"""What happens to a module while code runs: who is called with it, and which modes are switched on the way.

Calls are followed into the functions of the same file; where a module goes out of sight, that is said.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import lru_cache

from normfix.records import dataclass, field
from normfix.script import Function, Script, walk
from normfix.usage.calling import callee, passed
from normfix.usage.gradless import gradless
from normfix.usage.modules import is_module_class
from normfix.usage.steps import WRAPPERS, Scope, Switch, dotted, position, scopes, stored, subject, switch

HARMLESS = frozenset(
    """
    print len isinstance issubclass type id list tuple iter next sum str repr hasattr getattr dict set vars dir callable
    super enumerate zip count_parameters summary get_model_size
    """.split()
)
"""Calls that leave a module as it is."""
HARMLESS_ROOTS = frozenset({"torch", "torchinfo", "torchsummary", "thop", "wandb", "os", "logging", "logger", "copy"})


def mode_switch(script: Script, call: ast.Call) -> Switch | None:
    """The mode switch that a call is; `self.train(epoch)` is none where that is a method of a class of no module."""
    change = switch(call)
    if change is None or change.subject != "self" or callee(script, call) is None:
        return change
    owner = script.class_of(call)
    return change if owner is None or is_module_class(script, owner) else None


@dataclass(eq=False, slots=True)
class Effects:
    """What a scope, and what it calls in this file, may do to the mode of one module."""

    evals: list[ast.Call] = field(default_factory=list)
    trains: list[ast.Call] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    """Reasons why there may be more: it is handed to code that is not in this file."""


def effects(script: Script, scope: Scope, name: str) -> Effects:
    """Every mode switch on `name` in this scope and in the functions of the file that it is handed to."""
    found = Effects()
    todo, seen = [(scope, name)], set()
    while todo:
        here, alias = todo.pop()
        if (here.node, alias) in seen:
            continue
        seen.add((here.node, alias))
        faces = aliases(here, alias)
        for step in _steps(script, here):
            change = step.change
            if change is None:
                todo += _handed_on(script, step, faces, found)
            elif _concerns(script, change, faces):
                (found.trains if change.training else found.evals).append(step.call)
                if change.training is None:
                    found.trains.append(step.call)
    return found


def reach(script: Script, scope: Scope, name: str) -> list[tuple[Scope, str]]:
    """Where a module of this name is known, and as what: its scope, what reads it from there, what it is handed to."""
    todo = [(scope, name)]
    if isinstance(scope.node, ast.Module):
        others = (one for one in scopes(script).values() if name not in one.bound and name not in one.parameters())
        todo += [(one, name) for one in others]
    elif name.startswith("self."):
        owner = script.class_of(scope.node)
        todo += [(one, name) for one in scopes(script).values() if script.class_of(one.node) is owner]
    seen: dict[tuple[ast.AST, str], tuple[Scope, str]] = {}
    while todo:
        here, alias = todo.pop()
        if (here.node, alias) not in seen:
            seen[here.node, alias] = here, alias
            faces = aliases(here, alias)
            for step in _steps(script, here):
                todo += _handed_on(script, step, faces, Effects())
    return list(seen.values())


def aliases(scope: Scope, name: str) -> frozenset[str]:
    """Other names of the same module in a scope: `ddp = DDP(net.to(device))` makes `ddp` one of `net`."""
    faces, size = {name}, 0
    while len(faces) != size:
        size = len(faces)
        for other, sources in scope.sources.items():
            if other in faces:
                faces |= sources
            elif sources & faces:
                faces.add(other)
    return frozenset(faces)


def _concerns(script: Script, change: Switch, faces: frozenset[str]) -> bool:
    """Does a switch reach one of these modules: itself, what holds it, a part of it, or something unknown."""
    if not change.subject or any(
        face == change.subject or face.startswith(f"{change.subject}.") or change.subject.startswith(f"{face}.")
        for face in faces
    ):
        return True
    return "." not in change.subject and is_loop_variable(script, change)


def is_loop_variable(script: Script, change: Switch) -> bool:
    """Is what is switched the variable of a loop or of a lambda: one part after the other."""
    for parent in script.ancestors(change.call, ast.AST):
        if isinstance(parent, ast.Lambda):
            return True
        if isinstance(parent, ast.For):
            targets = [parent.target]
        elif isinstance(parent, ast.ListComp | ast.SetComp | ast.GeneratorExp):
            targets = [one.target for one in parent.generators]
        else:
            continue
        if any(isinstance(node, ast.Name) and node.id == change.subject for one in targets for node in walk(one)):
            return True
    return False


@dataclass(eq=False, slots=True)
class _Step:
    """A call of a scope, and the names in it: which module it is about depends on who asks."""

    call: ast.Call
    change: Switch | None
    function: Function | None
    """The function of this file that it runs."""
    called: str
    runs: frozenset[str]
    """What is called, and what holds that."""
    given: Sequence[tuple[str, str]]
    """Its arguments: the parameters of the function, where that is known, and the names that they are given."""
    inherited: bool
    """May it run a method of the object that this file does not show."""


@lru_cache(maxsize=8)
def _known_steps(_: Script) -> dict[Scope, list[_Step]]:
    """What was looked at already of one script."""
    return {}


def _steps(script: Script, scope: Scope) -> list[_Step]:
    known = _known_steps(script)
    if scope not in known:
        known[scope] = [_step(script, call) for call in scope.calls]
    return known[scope]


def _step(script: Script, call: ast.Call) -> _Step:
    function, called = callee(script, call), dotted(call.func)
    runs = {called, subject(call.func.value)} if isinstance(call.func, ast.Attribute) else {called}
    if function is not None:
        values = list(passed(call, scopes(script)[function]).items())
    else:
        values = [("", value) for value in (*call.args, *(one.value for one in call.keywords))]
    method = function is None and called.startswith("self.") and called.count(".") == 1
    return _Step(
        call,
        mode_switch(script, call),
        function,
        called,
        frozenset(runs),
        [(parameter, subject(value)) for parameter, value in values],
        method and _is_inherited(script, call, called),
    )


def _handed_on(script: Script, step: _Step, faces: frozenset[str], found: Effects) -> list[tuple[Scope, str]]:
    """Where a module goes with a call: into functions of this file, or out of sight."""
    if step.function is not None:
        scope = scopes(script)[step.function]
        handed = [(scope, parameter) for parameter, name in step.given if name in faces]
        free = [(scope, face) for face in faces if face not in scope.bound and face not in scope.parameters()]
        return handed + [(inner, face) for inner, face in free if "." not in face or face.startswith("self.")]
    if not step.runs.isdisjoint(faces):
        return []
    if step.inherited:
        name = step.called
        found.unclear += [f"`{name}` may change the mode of `{face}`" for face in faces if face.startswith("self.")]
    if any(name in faces for _, name in step.given) and not is_harmless(script, step.call):
        found.unclear.append(f"it is handed to `{step.called or 'a call'}`")
    return []


def _is_inherited(script: Script, call: ast.Call, name: str) -> bool:
    """May `self.name()` run a method that this file does not show."""
    owner = script.class_of(call)
    return name not in stored(script) and (owner is None or bool(owner.bases))


def is_harmless(script: Script, call: ast.Call) -> bool:
    """Is this a call that leaves the modes of the modules it is given."""
    name = script.resolve(call.func)
    root, _, _ = name.partition(".")
    return name in HARMLESS or root in HARMLESS_ROOTS or name.rpartition(".")[2] in WRAPPERS


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens to a module while a piece of code runs, helpers of the file included."""

    kind: str
    """"eval", "train", "forward" (with gradients), "evaluation" (without), "backward", "step", or "unclear"."""
    call: ast.Call
    helper: Function | None
    """The function of the file that it happens in; None for the piece of code itself."""
    outer: ast.Call
    """The call of the piece of code itself that leads to it."""


def events(script: Script, scope: Scope, name: str, within: ast.AST | None = None) -> list[Event]:
    """What happens to the module `name` when a scope runs, or the part of it inside `within`, in source order."""
    return list(_events(script, scope, name, within, (), frozenset()))


def _events(
    script: Script,
    scope: Scope,
    name: str,
    within: ast.AST | None,
    way: tuple[tuple[ast.Call, Function], ...],
    seen: frozenset[ast.AST],
) -> Iterator[Event]:
    """`way` holds the calls that led here, and the functions that they run."""
    faces = aliases(scope, name) if name else frozenset()
    for step in _steps(script, scope):
        call, change, function = step.call, step.change, step.function
        if within is not None and not _inside(call, within):
            continue
        helper, outer = (way[-1][1], way[0][0]) if way else (None, call)
        if change is not None:
            if change.subject in faces:
                yield Event("eval" if change.training is False else "train", call, helper, outer)
            elif change.training is not False and _concerns(script, change, faces):
                yield Event("train", call, helper, outer)
        elif step.called in faces:
            yield Event("evaluation" if gradless(script, call) else "forward", call, helper, outer)
        elif function is None and isinstance(call.func, ast.Attribute) and call.func.attr in ("backward", "step"):
            yield Event(call.func.attr, call, helper, outer)
        elif function is not None and function not in seen and len(seen) < 6:
            handed = _handed_on(script, step, faces, Effects())
            for inner, alias in handed or [(scopes(script)[function], "")]:
                yield from _events(script, inner, alias, None, (*way, (call, function)), seen | {function})
        elif function is None and faces:
            unclear = Effects()
            _handed_on(script, step, faces, unclear)
            if unclear.unclear:
                yield Event("unclear", call, helper, outer)


def _inside(node: ast.AST, outer: ast.AST) -> bool:
    end = (getattr(outer, "end_lineno", 0), getattr(outer, "end_col_offset", 0))
    return position(outer) <= position(node) < end
