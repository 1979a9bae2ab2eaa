"""Where reading starts: a class, a function, the top level of a file."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence

from normfix.graph import Call, Layer, LayerGraph, Unknown
from normfix.readers.interpreter import attributes, containers, functions, leaving, signatures, statements
from normfix.readers.interpreter.joining import leaves, tensors
from normfix.readers.interpreter.kinds import is_module_base
from normfix.readers.interpreter.memo import Memo
from normfix.readers.interpreter.run import NORMAL, Run, TooLarge
from normfix.readers.interpreter.values import (
    MODULES,
    NONE,
    Choice,
    Class,
    Constant,
    Function,
    Instance,
    Items,
    Repeat,
    Scope,
    Value,
)
from normfix.script import FUNCTIONS

_WALKS = frozenset({"modules", "children", "named_modules", "named_children", "apply"})
_PLAIN_TYPES = frozenset({"int", "float", "bool", "str"})
_SETTING = (
    "init",
    "reset",
    "_init",
    "load",
    "post_init",
    "configure",
    "extra_repr",
    "register",
    "build",
    "make",
    "setup",
)
"""Methods whose names begin so set weights or build layers, and are handed the object for that."""


def read_class(cls: Class, memo: Memo, given: Mapping[str, object] | None = None) -> LayerGraph:
    """The graph of one class: its layers, and the calls of its forward and its other methods.

    Parameters of its constructor are unknown, but for those whose values are `given`. Where none are, the graph is
    empty if `memo.brief` lets the class be left after its constructor, and its layers tell nothing.
    """
    graph = LayerGraph(cls.node.name, under=lambda given: read_class(cls, memo, given))
    run = Run(graph, memo)
    run.freezing, run.beside = True, cls.node in memo.naming
    try:
        owner = _construct(run, cls, given or {})
        if given is None and cls.node in memo.brief and leaving.tells_nothing(run, owner, memo.brief[cls.node]):
            return LayerGraph(cls.node.name)
        _call(run, owner)
        _call_escaped(run)
    except TooLarge:
        graph.open = Unknown(f"`{cls.node.name}` is too large to be followed")
    _drop_idle(graph)
    return graph


def read_block(
    name: str,
    body: Sequence[ast.stmt],
    scope: Scope,
    memo: Memo,
    function: Function | None = None,
    given: Mapping[str, object] | None = None,
) -> LayerGraph:
    """The graph of what a function, with these values `given` to its parameters, or the top level of a file, builds."""
    graph = LayerGraph(name, under=lambda given: read_block(name, body, scope, memo, function, given))
    run = Run(graph, memo)
    inner = Scope(scope, scope.script, name)
    if function is not None:
        inner.function = function
        inner.content.update(_parameters(function, name, given or {}))
    try:
        statements.execute(run, body, inner)
        for value in inner.returns:
            run.escape(value, Unknown(f"`{name}` returns it"))
        _call_escaped(run, everything=True)
    except TooLarge:
        graph.open = Unknown(f"`{name}` is too large to be followed")
    _drop_idle(graph)
    return graph


def _drop_idle(graph: LayerGraph) -> None:
    """Forget layers of blocks that are constructed here and not called here: their own graphs tell of them."""
    called = {id(call.layer) for call in graph.calls}
    graph.layers = [
        layer for layer in graph.layers if layer.owner == graph.name or layer.escapes is not None or id(layer) in called
    ]


def _parameters(function: Function, where: str, given: Mapping[str, object]) -> dict[str, Value]:
    """Values for the parameters of an entry: unknown, but for what is given of them, or of their attributes."""
    values = signatures.unknown(function, where)
    for dotted, value in given.items():
        name, _, attribute = dotted.partition(".")
        values[name] = _holding(attribute, value, function.scope) if attribute else Constant(value)
    return values


def _holding(attribute: str, value: object, scope: Scope) -> Instance:
    """An object of which one attribute is known."""
    owner = Instance(Class(ast.ClassDef("", [], [], [], []), scope))
    owner.content[attribute] = Constant(value)
    owner.dynamic = Unknown("it is an attribute of a parameter")
    return owner


def _construct(run: Run, cls: Class, given: Mapping[str, object]) -> Instance:
    owner = Instance(cls)
    functions.prepare(owner)
    run.receivers.append(owner)
    initialise = functions.initialiser(cls)
    if initialise is not None:
        _enter(run, initialise, owner, _parameters(initialise, f"{cls.node.name}.__init__", given))
    run.building = False
    return owner


def _call(run: Run, owner: Instance) -> None:
    cls = owner.cls
    _lose_replaced(run, owner)
    forward = functions.forward_of(owner)
    entries: list[Callable[[], int]] = []
    if "forward" in owner.content:
        attributes.insides(run, owner, Unknown("its forward is replaced"))
    elif forward is not None:
        entries.append(lambda: _forward(run, forward, owner))
    elif owner.children is not None and owner.children.kind == "Sequential":
        entries.append(lambda: _forward_children(run, owner))
    elif not all(is_module_base(base) for base in attributes.bases(cls)):
        why = Unknown(f"the forward of `{cls.node.name}` is not in this file")
        for value in list(owner.content.values()):
            run.escape(value, why)
    entries += [lambda method=method: _other(run, method, owner) for method in _others(run, cls, owner, forward)]  # type: ignore[misc]
    run.alternatives(entries)


def _enter(run: Run, function: Function, owner: Instance, values: dict[str, Value]) -> Scope:
    """Run a method's body with these values for its parameters."""
    home = function.home.node.name if function.home is not None else ""
    scope = Scope(function.scope, function.scope.script, home)
    scope.function, scope.receiver = function, owner
    scope.content.update(values)
    names = [argument.arg for argument in (*function.node.args.posonlyargs, *function.node.args.args)]
    if names:
        scope.content[names[0]] = owner
    run.stack.append(function.node)
    run.visited.add(function.node)
    body = function.node.body
    if isinstance(body, list):
        statements.execute(run, body, scope)
    run.stack.pop()
    return scope


def _forward(run: Run, forward: Function, owner: Instance) -> int:
    scope = _enter(run, forward, owner, _inputs(run, forward))
    for value in scope.returns:
        run.graph.outputs += [call for call in tensors(value) if not run.graph.is_output(call)]
        for one in leaves(value):
            if not isinstance(one, Call):
                run.escape(one, Unknown("the forward returns it"))
    return NORMAL


def _forward_children(run: Run, owner: Instance) -> int:
    if owner.children is not None:
        source = _input(run, "input", owner.cls.node, owner.cls.scope)
        result = containers.run_sequential(run, owner.children, source, owner.cls.node, owner.cls.scope)
        run.graph.outputs += list(tensors(result))
    return NORMAL


def _inputs(run: Run, forward: Function) -> dict[str, Value]:
    """The model inputs: every parameter that is not plainly a flag or a number."""
    spec = forward.node.args
    values: dict[str, Value] = {}
    arguments = [*spec.posonlyargs, *spec.args]
    defaults: list[ast.expr | None] = [*[None] * (len(arguments) - len(spec.defaults)), *spec.defaults]
    own = zip([*arguments[1:], *spec.kwonlyargs], [*defaults[1:], *spec.kw_defaults], strict=True)
    for argument, default in own:
        values[argument.arg] = _parameter(run, argument, default, forward.scope)
    if spec.vararg is not None:
        values[spec.vararg.arg] = Items([Repeat([_input(run, spec.vararg.arg, spec.vararg, forward.scope)])], "tuple")
    if spec.kwarg is not None:
        values[spec.kwarg.arg] = Unknown(f"`**{spec.kwarg.arg}` is a parameter")
    return values


def _parameter(run: Run, argument: ast.arg, default: ast.expr | None, scope: Scope) -> Value:
    plain = isinstance(argument.annotation, ast.Name) and argument.annotation.id in _PLAIN_TYPES
    if plain or (isinstance(default, ast.Constant) and default.value is not None):
        return Unknown(f"`{argument.arg}` is a parameter of the forward")
    source = _input(run, argument.arg, argument, scope)
    return Choice([source, NONE]) if isinstance(default, ast.Constant) else source


def _input(run: Run, name: str, node: ast.AST, scope: Scope) -> Call:
    site = run.site(node, scope)
    call = Call(Layer("input", name, site), site=site, branches=run.path)
    run.graph.calls.append(call)
    return call


def _others(run: Run, cls: Class, owner: Instance, forward: Function | None) -> list[Function]:
    """Methods that may run on their own, and use the layers."""
    found: list[Function] = []
    seen = {"__init__", "forward", "__repr__", "__len__"}
    for home in attributes.lineage(cls):
        for node in home.node.body:
            if isinstance(node, FUNCTIONS) and node.name not in seen and node not in run.visited:
                seen.add(node.name)
                if _uses(run, node, owner):
                    found.append(Function(node, home.scope, home))
    if forward is None:
        return found
    reached = _reached(run, forward, found)
    return [function for function in found if function.node.name not in reached]  # type: ignore[union-attr]


def _reached(run: Run, forward: Function, methods: Sequence[Function]) -> set[str]:
    """Methods that forward calls, directly or through others, and that are not interesting on their own."""
    by_name = {function.node.name: function for function in methods if not isinstance(function.node, ast.Lambda)}
    found: set[str] = set()
    waiting: list[Function] = [forward]
    while waiting:
        for node in run.attributes(waiting.pop().node):
            if node.attr in by_name and node.attr not in found:
                found.add(node.attr)
                waiting.append(by_name[node.attr])
    return found


def _uses(run: Run, method: ast.FunctionDef | ast.AsyncFunctionDef, owner: Instance) -> bool:
    return any(
        node.attr in _WALKS or isinstance(owner.content.get(node.attr), (*MODULES, Choice))
        for node in run.attributes(method)
    )


def _other(run: Run, method: Function, owner: Instance) -> int:
    name = getattr(method.node, "name", "")
    run.building = name.startswith(_SETTING)
    try:
        values = _inputs(run, method)
        scope = _enter(run, method, owner, values)
        for value in scope.returns:
            for call in tensors(value):
                run.escape(call, Unknown(f"`{name}` returns it"))
            if next(attributes.layers(value), None) is not None and not isinstance(value, Instance):
                run.escape(value, Unknown(f"`{name}` returns it"))
    finally:
        run.building = False
    return NORMAL


def _lose_replaced(run: Run, owner: Instance) -> None:
    """Layers that a method other than the constructor replaces or deletes."""
    for home in attributes.lineage(owner.cls):
        for method in home.node.body:
            if not isinstance(method, FUNCTIONS) or method in run.visited:
                continue
            for node in run.attributes(method):
                if not isinstance(node.ctx, ast.Load):
                    value = owner.content.get(node.attr)
                    if isinstance(node.value, ast.Name) and isinstance(value, (*MODULES, Choice)):
                        for layer in attributes.layers(value):
                            run.escape(layer, Unknown(f"`{method.name}` replaces it"))


def _call_escaped(run: Run, everything: bool = False) -> None:
    """A Sequential that was handed to unseen code is called as a whole there."""
    run.path = ()
    for container in list(run.containers):
        if container.kind != "Sequential" or container.called or container.handed:
            continue
        if everything or container.escaped:
            source = Unknown("it is fed by code that is not followed")
            result = containers.run_sequential(run, container, source, container.node, container.scope)
            for call in tensors(result):
                run.escape(call, source)
