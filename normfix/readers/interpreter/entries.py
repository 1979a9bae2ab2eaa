"""Where reading starts: a class, a function, the top level of a file."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence

from normfix.graph import Call, LayerGraph, Unknown
from normfix.readers.interpreter import (
    attributes,
    classes,
    containers,
    functions,
    inputs,
    leaving,
    other_methods,
    statements,
)
from normfix.readers.interpreter.escaping import TooLarge
from normfix.readers.interpreter.forking import NORMAL
from normfix.readers.interpreter.joining import leaves, tensors
from normfix.readers.interpreter.kinds import is_module_base
from normfix.readers.interpreter.memo import Memo
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import Class, Function, Instance, Scope


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
        inner.content.update(inputs.parameters(function, name, given or {}))
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


def _construct(run: Run, cls: Class, given: Mapping[str, object]) -> Instance:
    owner = Instance(cls)
    functions.prepare(owner)
    run.receivers.append(owner)
    initialise = functions.initialiser(cls)
    if initialise is not None:
        functions.enter(run, initialise, owner, inputs.parameters(initialise, f"{cls.node.name}.__init__", given))
    run.building = False
    return owner


def _call(run: Run, owner: Instance) -> None:
    cls = owner.cls
    other_methods.lose_replaced(run, owner)
    forward = functions.forward_of(owner)
    entries: list[Callable[[], int]] = []
    if "forward" in owner.content:
        attributes.insides(run, owner, Unknown("its forward is replaced"))
    elif forward is not None:
        entries.append(lambda: _forward(run, forward, owner))
    elif owner.children is not None and owner.children.kind == "Sequential":
        entries.append(lambda: _forward_children(run, owner))
    elif not all(is_module_base(base) for base in classes.bases(cls)):
        why = Unknown(f"the forward of `{cls.node.name}` is not in this file")
        for value in list(owner.content.values()):
            run.escape(value, why)
    others = other_methods.using_layers(run, cls, owner, forward)
    entries += [lambda method=method: other_methods.follow(run, method, owner) for method in others]  # type: ignore[misc]
    run.alternatives(entries)


def _forward(run: Run, forward: Function, owner: Instance) -> int:
    scope = functions.enter(run, forward, owner, inputs.of_method(run, forward))
    for value in scope.returns:
        run.graph.outputs += [call for call in tensors(value) if not run.graph.is_output(call)]
        for one in leaves(value):
            if not isinstance(one, Call):
                run.escape(one, Unknown("the forward returns it"))
    return NORMAL


def _forward_children(run: Run, owner: Instance) -> int:
    if owner.children is not None:
        source = inputs.tensor(run, "input", owner.cls.node, owner.cls.scope)
        result = containers.run_sequential(run, owner.children, source, owner.cls.node, owner.cls.scope)
        run.graph.outputs += list(tensors(result))
    return NORMAL


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
