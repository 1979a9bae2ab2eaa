"""Training, evaluation and export code as checks see it: scopes, what names stand for, who switches which mode.

Everything here is read off one `Script`; a name stands for one object within a function ("model", "self.net").
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache

from normfix.records import dataclass, field
from normfix.script import FUNCTIONS, Function, Script, walk

FLUENT = frozenset(
    "to cuda cpu xpu mps half float double bfloat16 type eval train requires_grad_ share_memory apply compile".split()
)
"""Methods of a module that return the module itself."""
WRAPPERS = frozenset({"DataParallel", "DistributedDataParallel", "DDP", "FullyShardedDataParallel", "FSDP", "compile"})
"""Calls that return another face of the module that they are given."""
GRADLESS = frozenset(
    {"torch.no_grad", "torch.inference_mode", "torch.autograd.no_grad", "torch.autograd.inference_mode"}
)
HARMLESS = frozenset(
    """
    print len isinstance issubclass type id list tuple iter next sum str repr hasattr getattr dict set vars dir callable
    super enumerate zip count_parameters summary get_model_size
    """.split()
)
"""Calls that leave a module as it is."""
HARMLESS_ROOTS = frozenset({"torch", "torchinfo", "torchsummary", "thop", "wandb", "os", "logging", "logger", "copy"})
Loop = ast.For | ast.While | ast.AsyncFor
LOOPS = (ast.For, ast.While, ast.AsyncFor)


@dataclass(eq=False, slots=True)
class Scope:
    """One function body, or the top level of the file: its calls in order, and what is bound to each name."""

    node: Function | ast.Module
    calls: list[ast.Call] = field(default_factory=list)
    bound: dict[str, list[ast.expr | None]] = field(default_factory=dict)
    """The values assigned to a dotted name; None for one that is not an expression (a loop, a part of a tuple)."""

    @property
    def name(self) -> str:
        return self.node.name if isinstance(self.node, FUNCTIONS) else ""

    def parameters(self) -> list[str]:
        """Names of the parameters, in order."""
        if isinstance(self.node, ast.Module):
            return []
        spec = self.node.args
        return [one.arg for one in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)]

    def value(self, name: str) -> ast.expr | None:
        """The one value that a name has here; None where it has several, or none that is seen."""
        values = self.bound.get(name, [])
        return values[0] if len(values) == 1 else None


@dataclass(frozen=True, slots=True)
class Switch:
    """`subject.eval()` or `subject.train(...)`; `training` is None where the argument decides at run time."""

    call: ast.Call
    subject: str
    training: bool | None


def base(node: ast.expr) -> ast.expr:
    """The object behind a chain of methods that return it: `net` for `net.to(device).eval()` and for `net.module`."""
    while True:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in FLUENT:
            node = node.func.value
        elif isinstance(node, ast.Attribute) and node.attr == "module":
            node = node.value
        else:
            return node


def unwrapped(node: ast.expr) -> ast.expr:
    """The object behind methods that return it and behind wrappers: `net` for `DDP(net.to(device))`."""
    core = base(node)
    while isinstance(core, ast.Call) and core.args and dotted(core.func).rpartition(".")[2] in WRAPPERS:
        core = base(core.args[0])
    return core


def dotted(node: ast.AST | None) -> str:
    """A chain of names as written: "self.model"; "" for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def subject(node: ast.expr) -> str:
    """The name of the module that an expression stands for: "net" for `net.to(device)`; "" where it has none."""
    return dotted(base(node))


def switch(call: ast.Call) -> Switch | None:
    """The mode switch that a call is, if it is one. `evaluator.eval(data)` is none."""
    function = call.func
    if not isinstance(function, ast.Attribute) or function.attr not in ("eval", "train"):
        return None
    values = [*call.args, *(one.value for one in call.keywords)]
    if function.attr == "eval":
        return None if values else Switch(call, subject(function.value), False)
    if len(values) > 1 or any(one.arg != "mode" for one in call.keywords):
        return None
    if not values:
        return Switch(call, subject(function.value), True)
    if isinstance(values[0], ast.Constant):
        return Switch(call, subject(function.value), bool(values[0].value))
    return Switch(call, subject(function.value), None) if isinstance(values[0], ast.Name | ast.Attribute) else None


def functions(script: Script) -> list[Function]:
    """Every function and method of a file."""
    return [*script.of_type(ast.FunctionDef), *script.of_type(ast.AsyncFunctionDef)]


@lru_cache(maxsize=8)
def scopes(script: Script) -> dict[ast.AST, Scope]:
    """Every scope of a file, by its function or module node."""
    found: dict[ast.AST, Scope] = {script.tree: Scope(script.tree)}
    found.update((node, Scope(node)) for node in functions(script))
    homes: dict[ast.AST, Function | ast.Module] = {}
    for call in script.of_type(ast.Call):
        found[_home(script, call, homes)].calls.append(call)
    for node, target, value in _assignments(script):
        bound = found[_home(script, node, homes)].bound
        for name, one in _names(target, value):
            bound.setdefault(name, []).append(one)
    return found


def scope_of(script: Script, node: ast.AST) -> Scope:
    """The scope that a node is executed in."""
    return scopes(script)[home(script, node)]


def home(script: Script, node: ast.AST) -> Function | ast.Module:
    """The function in whose body a node stands (decorators and defaults are outside of it), or the module."""
    return _home(script, node, {})


def _home(script: Script, node: ast.AST, known: dict[ast.AST, Function | ast.Module]) -> Function | ast.Module:
    """The same, with the answers for the nodes on the way kept in `known`."""
    path, child = [node], node
    parent = script.parents.get(node)
    found: Function | ast.Module = script.tree
    while parent is not None:
        if isinstance(parent, FUNCTIONS):
            if not isinstance(child, ast.arguments) and child not in parent.decorator_list:
                found = parent
                break
        elif parent in known:
            found = known[parent]
            break
        path.append(parent)
        child, parent = parent, script.parents.get(parent)
    for one in path:
        known[one] = found
    return found


def _assignments(script: Script) -> Iterator[tuple[ast.AST, ast.expr, ast.expr | None]]:
    for assign in script.of_type(ast.Assign):
        for target in assign.targets:
            yield assign, target, assign.value
    for annotated in script.of_type(ast.AnnAssign):
        if annotated.value is not None:
            yield annotated, annotated.target, annotated.value
    for named in script.of_type(ast.NamedExpr):
        yield named, named.target, named.value
    for changed in script.of_type(ast.AugAssign):
        yield changed, changed.target, None
    for loop in script.of_type(ast.For):
        yield loop, loop.target, None
    for stream in script.of_type(ast.AsyncFor):
        yield stream, stream.target, None
    for opened in script.of_type(ast.withitem):
        if opened.optional_vars is not None:
            yield opened, opened.optional_vars, opened.context_expr


def _names(target: ast.expr, value: ast.expr | None) -> Iterator[tuple[str, ast.expr | None]]:
    if isinstance(target, ast.Tuple | ast.List):
        values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
        matched = values if len(values) == len(target.elts) else [None] * len(target.elts)
        for one, part in zip(target.elts, matched, strict=True):
            yield from _names(one, part)
    elif isinstance(target, ast.Starred):
        yield from _names(target.value, None)
    elif name := dotted(target):
        yield name, value


def loops(script: Script, node: ast.AST) -> list[Loop]:
    """The loops around a node within its function, innermost first."""
    around: list[Loop] = []
    for parent in script.ancestors(node, ast.stmt):
        if isinstance(parent, FUNCTIONS):
            break
        if isinstance(parent, LOOPS):
            around.append(parent)
    return around


def position(node: ast.AST) -> tuple[int, int]:
    """Where a node begins; of two in one scope, the smaller is executed first, loops aside."""
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def exclusive(script: Script, one: ast.AST, other: ast.AST) -> bool:
    """Do the two stand in different branches of one `if`, so that only one of them is executed."""
    arms = {branch: _arm(script, one, branch) for branch in script.ancestors(one, ast.If)}
    return any(
        branch in arms and arms[branch] != _arm(script, other, branch) for branch in script.ancestors(other, ast.If)
    )


def _arm(script: Script, node: ast.AST, branch: ast.If) -> str:
    child, parent = node, script.parents.get(node)
    while parent is not None and parent is not branch:
        child, parent = parent, script.parents.get(parent)
    return "else" if child in branch.orelse else "body" if child in branch.body else "test"


def gradless(script: Script, node: ast.AST) -> bool:
    """Is a node under `no_grad`, `inference_mode` or `set_grad_enabled(False)`, as far as its function shows."""
    for parent in script.ancestors(node, ast.stmt):
        if isinstance(parent, FUNCTIONS):
            return any(_is_gradless(script, one) for one in parent.decorator_list)
        if isinstance(parent, ast.With | ast.AsyncWith) and any(
            _is_gradless(script, item.context_expr) for item in parent.items
        ):
            return True
    return False


def gradless_scopes(script: Script) -> list[ast.AST]:
    """The functions (and the module) that switch gradients off, in part or as a whole."""
    blocks: list[ast.With | ast.AsyncWith] = [*script.of_type(ast.With), *script.of_type(ast.AsyncWith)]
    found: list[ast.AST] = [home(script, one) for one in calls_of(script, "set_grad_enabled")]
    found += [home(script, one) for one in blocks if any(_is_gradless(script, item.context_expr) for item in one.items)]
    found += [one for one in functions(script) if any(_is_gradless(script, by) for by in one.decorator_list)]
    return list(dict.fromkeys(found))


def _is_gradless(script: Script, node: ast.expr) -> bool:
    return script.resolve(node.func if isinstance(node, ast.Call) else node) in GRADLESS or turns_grad_off(script, node)


def turns_grad_off(script: Script, node: ast.AST) -> bool:
    """Is this `torch.set_grad_enabled(False)`."""
    return (
        isinstance(node, ast.Call)
        and script.resolve(node.func) in ("torch.set_grad_enabled", "torch.autograd.set_grad_enabled")
        and [ast.Constant] == [type(one) for one in (*node.args, *(key.value for key in node.keywords))]
        and not (node.args[0] if node.args else node.keywords[0].value).value  # type: ignore[attr-defined]
    )


@lru_cache(maxsize=8)
def _functions(script: Script) -> dict[str, list[Function]]:
    table: dict[str, list[Function]] = {}
    for node in functions(script):
        table.setdefault(node.name, []).append(node)
    return table


def callee(script: Script, call: ast.Call) -> Function | None:
    """The function of this file that a call runs: `f()`, or `self.f()` in its class; None where it is not clear."""
    function = call.func
    if isinstance(function, ast.Name):
        found = [node for node in _functions(script).get(function.id, ()) if script.class_of(node) is None]
        return found[0] if len(found) == 1 and function.id not in script.imports else None
    if isinstance(function, ast.Attribute) and dotted(function.value) in ("self", "cls"):
        own = script.class_of(call)
        found = [node for node in _functions(script).get(function.attr, ()) if script.class_of(node) is own]
        return found[0] if len(found) == 1 else None
    return None


@lru_cache(maxsize=8)
def _calls_by_function(script: Script) -> dict[ast.AST, list[ast.Call]]:
    table: dict[ast.AST, list[ast.Call]] = {}
    for call in script.of_type(ast.Call):
        function = callee(script, call)
        if function is not None:
            table.setdefault(function, []).append(call)
    return table


def callers(script: Script, function: ast.AST) -> list[ast.Call]:
    """The calls of a function in its own file."""
    return _calls_by_function(script).get(function, [])


def passed(call: ast.Call, scope: Scope) -> dict[str, ast.expr]:
    """The arguments of a call by parameter of the function that it runs."""
    names = scope.parameters()
    if isinstance(call.func, ast.Attribute) and names[:1] in (["self"], ["cls"]):
        names = names[1:]
    given = dict(zip(names, call.args, strict=False))
    return given | {one.arg: one.value for one in call.keywords if one.arg in names and one.arg is not None}


def calls_of(script: Script, *names: str) -> Iterator[ast.Call]:
    """The calls of functions that end in one of these names, whatever they were imported as."""
    short = {name for name, meaning in script.imports.items() if meaning.rpartition(".")[2] in names}
    for call in script.of_type(ast.Call):
        function = call.func
        if (isinstance(function, ast.Attribute) and function.attr in names) or (
            isinstance(function, ast.Name) and function.id in short
        ):
            yield call


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
        for call in here.calls:
            change = switch(call)
            if change is not None:
                if _concerns(script, change, faces):
                    (found.trains if change.training else found.evals).append(call)
                    if change.training is None:
                        found.trains.append(call)
                continue
            todo += _handed_on(script, call, faces, found)
    return found


def aliases(scope: Scope, name: str) -> frozenset[str]:
    """Other names of the same module in a scope: `ddp = DDP(net.to(device))` makes `ddp` one of `net`."""
    faces, size = {name}, 0
    while len(faces) != size:
        size = len(faces)
        for other, values in scope.bound.items():
            sources = {source for value in values if value is not None and (source := dotted(unwrapped(value)))}
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
    return "." not in change.subject and _is_loop_variable(script, change)


def _is_loop_variable(script: Script, change: Switch) -> bool:
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


def _handed_on(script: Script, call: ast.Call, faces: frozenset[str], found: Effects) -> list[tuple[Scope, str]]:
    """Where a module goes with a call: into functions of this file, or out of sight."""
    function = callee(script, call)
    if function is not None:
        scope = scopes(script)[function]
        given = passed(call, scope)
        handed = [(scope, parameter) for parameter, value in given.items() if subject(value) in faces]
        free = [(scope, face) for face in faces if face not in scope.bound and face not in scope.parameters()]
        return handed + [(inner, face) for inner, face in free if "." not in face or face.startswith("self.")]
    name = dotted(call.func)
    if name in faces or (isinstance(call.func, ast.Attribute) and subject(call.func.value) in faces):
        return []
    if name.startswith("self.") and name.count(".") == 1 and _is_inherited(script, call, name):
        found.unclear += [f"`{name}` may change the mode of `{face}`" for face in faces if face.startswith("self.")]
    values = [*call.args, *(one.value for one in call.keywords)]
    if any(subject(value) in faces for value in values) and not is_harmless(script, call):
        found.unclear.append(f"it is handed to `{dotted(call.func) or 'a call'}`")
    return []


def _is_inherited(script: Script, call: ast.Call, name: str) -> bool:
    """May `self.name()` run a method that this file does not show."""
    owner = script.class_of(call)
    stored = any(name in scope.bound for scope in scopes(script).values())
    return not stored and (owner is None or bool(owner.bases))


def is_harmless(script: Script, call: ast.Call) -> bool:
    """Is this a call that leaves the modes of the modules it is given."""
    name = script.resolve(call.func)
    root, _, _ = name.partition(".")
    return name in HARMLESS or root in HARMLESS_ROOTS or name.rpartition(".")[2] in WRAPPERS


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens to a module while a piece of code runs, helpers of the file included."""

    kind: str
    """"eval", "train", "forward" (with gradients), "backward", "step", or "unclear"."""
    call: ast.Call
    helper: Function | None
    """The function of the file that it happens in; None for the piece of code itself."""


def events(script: Script, scope: Scope, name: str, within: ast.AST | None = None) -> list[Event]:
    """What happens to the module `name` when a scope runs, or the part of it inside `within`, in source order."""
    return list(_events(script, scope, name, within, None, frozenset()))


def _events(
    script: Script, scope: Scope, name: str, within: ast.AST | None, helper: Function | None, seen: frozenset[ast.AST]
) -> Iterator[Event]:
    faces = aliases(scope, name) if name else frozenset()
    for call in scope.calls:
        if within is not None and not _inside(call, within):
            continue
        change, function = switch(call), callee(script, call)
        if change is not None:
            if change.subject in faces:
                yield Event("eval" if change.training is False else "train", call, helper)
            elif change.training is not False and _concerns(script, change, faces):
                yield Event("train", call, helper)
        elif dotted(call.func) in faces and not gradless(script, call):
            yield Event("forward", call, helper)
        elif isinstance(call.func, ast.Attribute) and call.func.attr in ("backward", "step"):
            yield Event(call.func.attr, call, helper)
        elif function is not None and function not in seen and len(seen) < 6:
            found = Effects()
            handed = _handed_on(script, call, faces, found)
            for inner, alias in handed or [(scopes(script)[function], "")]:
                yield from _events(script, inner, alias, None, function, seen | {function})
        else:
            unclear = Effects()
            _handed_on(script, call, faces, unclear)
            if unclear.unclear:
                yield Event("unclear", call, helper)


def _inside(node: ast.AST, outer: ast.AST) -> bool:
    end = (getattr(outer, "end_lineno", 0), getattr(outer, "end_col_offset", 0))
    return position(outer) <= position(node) < end
