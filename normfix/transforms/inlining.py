"""Graphs within a graph: torch.export puts what ran under `torch.no_grad()` into one of its own, where no gradient is
asked for this makes no difference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.fx.node import map_arg

from normfix.transforms.nodes import operation

_PLAIN = "wrap_with_set_grad_enabled"


def inlined(module: fx.GraphModule) -> fx.Graph:
    """The graph of the module, what ran under `torch.no_grad()` in its place. The graph itself where it has none."""
    if not any(operation(node) == _PLAIN for node in module.graph.nodes):
        return module.graph
    graph = fx.Graph()
    graph.set_codegen(module.graph._codegen)
    graph.output(_copy(module, graph, {}))
    return graph


def _copy(module: fx.GraphModule, graph: fx.Graph, known: dict[fx.Node, Any]) -> Any:
    """Copy the nodes of a module into a graph; `known` holds what stands for its inputs. Returns what it gives."""
    for node in module.graph.nodes:
        if node.op == "output":
            return map_arg(node.args[0], known.__getitem__)
        if node in known or (_graph_of(module, node) and all(operation(user) == _PLAIN for user in node.users)):
            continue
        if operation(node) == _PLAIN:
            inner = _graph_of(module, node.args[1])
            assert inner is not None  # that is what such a call is given
            holders = [holder for holder in inner.graph.nodes if holder.op == "placeholder"]
            given = map_arg(node.args[2:], known.__getitem__)
            known[node] = _copy(inner, graph, dict(zip(holders, given, strict=True)))
        elif operation(node) == "getitem" and isinstance(known.get(node.args[0]), tuple):
            known[node] = known[node.args[0]][node.args[1]]
        else:
            known[node] = graph.node_copy(node, known.__getitem__)
    raise ValueError("a graph without an output")


def enclosed(module: fx.GraphModule) -> dict[str, str]:
    """Modules that ran in graphs which stay within the graph (autocast, conditions), by path, each with the operation
    that holds its graph."""
    return {path: name for name, inner in _held(module) for path in _paths(inner)}


def literals(program: ExportedProgram) -> dict[str, Tensor]:
    """Tensors that forward writes out or plain attributes hold, by the name of their node."""
    held = program.constants
    named = program.graph_signature.inputs_to_lifted_tensor_constants
    return {name: held[target] for name, target in named.items() if isinstance(held.get(target), Tensor)}


def _graph_of(module: fx.GraphModule, node: fx.Node) -> fx.GraphModule | None:
    inner = getattr(module, str(node.target), None) if node.op == "get_attr" else None
    return inner if isinstance(inner, fx.GraphModule) else None


def _held(module: fx.GraphModule, within: str = "") -> Iterator[tuple[str, fx.GraphModule]]:
    for node in module.graph.nodes:
        inner = _graph_of(module, node)
        if inner is not None:
            names = [name for user in node.users if (name := operation(user)) != _PLAIN]
            holder = names[0] if names else within
            yield from [(holder, inner)] * bool(holder)
            yield from _held(inner, holder)


def _paths(module: fx.GraphModule) -> Iterator[str]:
    for node in module.graph.nodes:
        for path, _ in (node.meta.get("nn_module_stack") or {}).values():
            yield path.split("@")[0]
