"""Training, evaluation and export code as checks see it: scopes, what names stand for, who switches which mode.

Everything here is read off one `Script`; a name stands for one object within a function ("model", "self.net").
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property, lru_cache

from normfix.records import dataclass
from normfix.script import FUNCTIONS, Function, Script, children
from normfix.usage.lines import calls_with

FLUENT = frozenset(
    "to cuda cpu xpu mps half float double bfloat16 type eval train requires_grad_ share_memory apply compile".split()
)
"""Methods of a module that return the module itself."""
WRAPPERS = frozenset({"DataParallel", "DistributedDataParallel", "DDP", "FullyShardedDataParallel", "FSDP", "compile"})
"""Calls that return another face of the module that they are given."""
Loop = ast.For | ast.While | ast.AsyncFor
_FLAGS = (ast.Name, ast.Attribute, ast.Compare, ast.BoolOp, ast.UnaryOp)
"""What may be a mode that is computed: `phase == "train"`, `not frozen`."""
LOOPS = (ast.For, ast.While, ast.AsyncFor)


@dataclass(eq=False)
class Scope:
    """One function body, or the top level of the file: its calls in order, and what is bound to each name."""

    node: Function | ast.Module

    @cached_property
    def _own(self) -> dict[type[ast.AST], list[ast.AST]]:
        return _nodes_of(self.node)

    @cached_property
    def calls(self) -> list[ast.Call]:
        """The calls that running this body makes, in the order of the source."""
        return self._own.get(ast.Call, [])  # type: ignore[return-value]  # the index is keyed by the type itself

    @cached_property
    def bound(self) -> dict[str, list[ast.expr | None]]:
        """The values assigned to a dotted name; None for one that is not an expression (a loop, a part of a tuple)."""
        found: dict[str, list[ast.expr | None]] = {}
        for target, value in _assignments(self._own):
            for name, one in _names(target, value):
                found.setdefault(name, []).append(one)
        return found

    @property
    def name(self) -> str:
        return self.node.name if isinstance(self.node, FUNCTIONS) else ""

    @cached_property
    def sources(self) -> dict[str, set[str]]:
        """The names whose module is bound to a dotted name, as it is or wrapped."""
        found: dict[str, set[str]] = {}
        for name, values in self.bound.items():
            names = {source for one in values if one is not None and (source := dotted(unwrapped(one)))}
            if names:
                found[name] = names
        return found

    def parameters(self) -> list[str]:
        """Names of the parameters, in order."""
        return self._parameters

    @cached_property
    def _parameters(self) -> list[str]:
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


def called_name(call: ast.Call) -> str:
    """The last name of what is called: "rsqrt" for `(var + eps).rsqrt()` and `torch.rsqrt(var)`."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else dotted(call.func)


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
    return Switch(call, subject(function.value), None) if isinstance(values[0], _FLAGS) else None


def functions(script: Script) -> list[Function]:
    """Every function and method of a file."""
    return [*script.of_type(ast.FunctionDef), *script.of_type(ast.AsyncFunctionDef)]


@lru_cache(maxsize=8)
def scopes(script: Script) -> dict[ast.AST, Scope]:
    """Every scope of a file, by its function or module node; what is in one is looked up when it is asked for."""
    found: dict[ast.AST, Scope] = {script.tree: Scope(script.tree)}
    found.update((node, Scope(node)) for node in functions(script))
    return found


def _nodes_of(scope: Function | ast.Module) -> dict[type[ast.AST], list[ast.AST]]:
    """What a body executes itself, by type: decorators and defaults of the functions in it, but not their bodies."""
    found: dict[type[ast.AST], list[ast.AST]] = defaultdict(list)
    outside = {id(one) for one in _outside(scope)}
    stack = [one for one in children(scope) if id(one) not in outside][::-1]
    while stack:
        node = stack.pop()
        kind = type(node)
        found[kind].append(node)
        inner = _outside(node) if kind in FUNCTIONS else children(node)
        if inner:
            stack += inner[::-1]
    return found


def _outside(scope: ast.AST) -> list[ast.AST]:
    """The parts of a function that are executed where it is defined."""
    return [scope.args, *scope.decorator_list] if isinstance(scope, FUNCTIONS) else []


def scope_of(script: Script, node: ast.AST) -> Scope:
    """The scope that a node is executed in."""
    return scopes(script)[home(script, node)]


def home(script: Script, node: ast.AST) -> Function | ast.Module:
    """The function in whose body a node stands (decorators and defaults are outside of it), or the module."""
    parents = script.around_of(node)
    child, parent = node, parents.get(node)
    while parent is not None:
        if isinstance(parent, FUNCTIONS) and child is not parent.args and child not in parent.decorator_list:
            return parent
        child, parent = parent, parents.get(parent)
    return script.tree


def _assignments(nodes: dict[type[ast.AST], list[ast.AST]]) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    for kind in (ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.AugAssign, ast.For, ast.AsyncFor, ast.withitem):
        for node in nodes.get(kind, ()):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    yield target, node.value
            elif isinstance(node, ast.withitem):
                if node.optional_vars is not None:
                    yield node.optional_vars, node.context_expr
            elif isinstance(node, ast.AnnAssign):
                if node.value is not None:
                    yield node.target, node.value
            elif isinstance(node, (ast.NamedExpr, ast.AugAssign, ast.For, ast.AsyncFor)):
                yield node.target, node.value if isinstance(node, ast.NamedExpr) else None


@lru_cache(maxsize=8)
def stored(script: Script) -> frozenset[str]:
    """Every dotted name that some statement of a file binds, wherever it stands: no scope is looked through for it."""
    kinds = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.For, ast.AsyncFor)
    nodes: dict[type[ast.AST], list[ast.AST]] = {kind: [*script.of_type(kind)] for kind in kinds}
    blocks: list[ast.With | ast.AsyncWith] = [*script.of_type(ast.With), *script.of_type(ast.AsyncWith)]
    nodes[ast.withitem] = [item for block in blocks for item in block.items]
    return frozenset(name for target, value in _assignments(nodes) for name, _ in _names(target, value))


def _names(target: ast.expr, value: ast.expr | None) -> Iterator[tuple[str, ast.expr | None]]:
    if isinstance(target, (ast.Tuple, ast.List)):
        values = value.elts if isinstance(value, (ast.Tuple, ast.List)) else []
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


def calls_of(script: Script, *names: str) -> Iterator[ast.Call]:
    """The calls of functions that end in one of these names, whatever they were imported as."""
    short = {name for name, meaning in script.imports.items() if meaning.rpartition(".")[2] in names}
    for call in calls_with(script, *names, *short):
        function = call.func
        if (isinstance(function, ast.Attribute) and function.attr in names) or (
            isinstance(function, ast.Name) and function.id in short
        ):
            yield call
