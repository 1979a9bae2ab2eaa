"""The layer graph of a model that is traced without example inputs: edges, but no shapes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from torch import fx, nn

from normfix import graph, vocabulary
from normfix.readers.live.builder import Builder, tensors_in
from normfix.readers.live.layers import Modules
from normfix.readers.live.operators import plain

_MANY = 50
_INPLACE = frozenset({operator.iadd, operator.isub, operator.imul, operator.itruediv})


class Tracer(fx.Tracer):
    """Stops at every known layer, whatever package it comes from, and at modules that cannot be traced through."""

    record_stack_traces = True
    proxy_buffer_attributes = True

    def __init__(self, modules: Modules, opaque: frozenset[str]) -> None:
        super().__init__()
        self._modules = modules
        self._opaque = opaque
        self.path: list[str] = []
        """The modules that are being traced; after an error, those that it happened in."""

    def is_leaf_module(self, module: nn.Module, path: str) -> bool:
        return path in self._modules.by_path or path in self._opaque

    def call_module(
        self, module: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        self.path.append(self.path_of_module(module))
        result = super().call_module(module, forward, args, kwargs)
        self.path.pop()
        return result


def symbolic_graph(model: nn.Module, modules: Modules, name: str) -> tuple[graph.LayerGraph, Builder]:
    """Trace a model with torch.fx. A module that cannot be traced becomes one call of kind "unknown"; a root that
    cannot be traced raises the error of torch.fx."""
    opaque: dict[str, str] = {}
    for _ in range(_MANY):
        tracer = Tracer(modules, frozenset(opaque))
        try:
            traced = tracer.trace(model)
        except Exception as error:
            # The caller's forward runs here, so that anything may be raised; the innermost module is to blame.
            if not tracer.path or tracer.path[-1] in opaque:
                raise
            opaque[tracer.path[-1]] = str(error).strip().partition("\n")[0]
        else:
            return _read(traced, modules, opaque, name)
    raise RuntimeError(f"more than {_MANY} modules cannot be traced")


def _read(traced: fx.Graph, modules: Modules, opaque: dict[str, str], name: str) -> tuple[graph.LayerGraph, Builder]:
    builder = Builder(modules)
    outputs: list[graph.Call] = []
    for node in traced.nodes:
        if node.op == "placeholder":
            builder.add(graph.Layer("input", node.name), result=node, training=False)
        elif node.op == "get_attr":
            builder.stored[node] = str(node.target)
        elif node.op == "output":
            made = [builder.read(item) for item in tensors_in(node.args)]
            outputs = [call for call in made if isinstance(call, graph.Call)]
        else:
            _call(node, builder, opaque)
    return graph.LayerGraph(name, list(modules.layers), builder.calls, outputs), builder


def _call(node: fx.Node, builder: Builder, opaque: dict[str, str]) -> None:
    layer, path = _layer(node, builder, opaque)
    sources = [builder.read(item) for item in tensors_in((node.args, node.kwargs))]
    call = builder.add(layer, sources, (node,), node, path)
    if path in builder.modules.hooked:
        call.escapes = graph.Unknown("a forward hook on it may change its result")
    first = node.args[0] if node.args else None
    if isinstance(first, fx.Node):
        if layer.kind in vocabulary.RESHAPES or layer.kind in ("getitem", "chunk", "split", "unbind", "expand"):
            builder.look(node, first)
        if _writes(node, layer):
            builder.change(first, node)


def _writes(node: fx.Node, layer: graph.Layer) -> bool:
    if node.op == "call_module":
        argument = layer.arguments.get("inplace")
        return argument is not None and argument.value is True
    if node.op == "call_method":
        return str(node.target).endswith("_") and not str(node.target).endswith("__")
    return node.target in _INPLACE or node.kwargs.get("inplace") is True or node.target is operator.setitem


def _layer(node: fx.Node, builder: Builder, opaque: dict[str, str]) -> tuple[graph.Layer, str]:
    if node.op == "call_module":
        path = str(node.target)
        layer = builder.modules.by_path.get(path)
        if layer is None:
            reason = f"it cannot be traced without example inputs ({opaque.get(path, '')})"
            layer = graph.Layer("unknown", path, graph.Site(module=path), reason=reason)
        return layer, path
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = str(stack[-1][0]) if stack else ""
    name = str(node.target) if node.op == "call_method" else getattr(node.target, "__name__", str(node.target))
    kind = vocabulary.canonical(name)
    layer = graph.Layer(
        kind,
        f"{path}.{node.name}" if path else node.name,
        graph.Site(module=path),
        _arguments(node, kind),
        training=builder.modules.modes.get(path, graph.Unknown("the module that runs it is not known")),
    )
    return layer, path


def _arguments(node: fx.Node, kind: str) -> dict[str, graph.Argument]:
    names = list(vocabulary.positional(kind)) if vocabulary.is_known(kind) else []
    found: dict[str, graph.Argument] = {}
    for index, value in enumerate(node.args):
        name = names[index] if index < len(names) else str(index)
        found[name] = graph.Argument(plain(value), position=index)
    found.update({name: graph.Argument(plain(value)) for name, value in node.kwargs.items()})
    return found
