"""The layer graph of an exported program: operations that one known layer ran become one call of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import fx
from torch.export.graph_signature import InputKind, OutputKind

from normfix import graph, norms
from normfix.readers.live import regions
from normfix.readers.live.builder import Builder, is_tensor, tensors_in
from normfix.readers.live.layers import Modules
from normfix.readers.live.operators import kind_of_operator, operator_layer, view_of, writes_to

_MODES = {"batch_norm": 5, "instance_norm": 5}
"""Which argument of the operator says that it uses the statistics of its input."""
_IGNORED = ("_assert_tensor_metadata", "_assert_async", "sym_constrain_range", "sym_constrain_range_for_size")


@dataclass(frozen=True)
class Invocation:
    """The nodes of one forward call of one known layer, or one operation outside such a layer (`path` None)."""

    nodes: Sequence[fx.Node]
    path: str | None = None


def exported_graph(
    program: torch.export.ExportedProgram, modules: Modules, name: str
) -> tuple[graph.LayerGraph, Builder]:
    """Read the calls off a program whose module paths are those of `modules`."""
    builder = Builder(modules)
    _store_inputs(program, builder)
    outputs = _walk(program.graph_module, builder)
    signature = program.graph_signature.output_specs
    kept = [
        node
        for node, spec in zip(outputs, signature, strict=False)
        if spec.kind is OutputKind.USER_OUTPUT and isinstance(node, fx.Node)
    ]
    found = [call for call in map(builder.read, kept) if isinstance(call, graph.Call)]
    return graph.LayerGraph(name, list(modules.layers), builder.calls, found), builder


def _store_inputs(program: torch.export.ExportedProgram, builder: Builder) -> None:
    specs = {getattr(spec.arg, "name", ""): spec for spec in program.graph_signature.input_specs}
    for node in program.graph.find_nodes(op="placeholder"):
        spec = specs[node.name]
        if spec.kind is not InputKind.USER_INPUT:
            builder.stored[node] = str(spec.target or node.name)
        elif is_tensor(node):
            builder.add(graph.Layer("input", node.name), result=node, training=False)


def _walk(module: fx.GraphModule, builder: Builder) -> list[object]:
    """Add the calls of one graph; what it returns, flattened."""
    nodes = list(module.graph.nodes)
    for invocation in _invocations(nodes, module, builder):
        if invocation.path is None:
            _operation(invocation.nodes[0], module, builder)
        elif _collapses(invocation, builder):
            _collapse(invocation, builder)
        else:
            _doubt(invocation, builder)
            for node in invocation.nodes:
                _operation(node, module, builder)
    return _flat(nodes[-1].args)


def _flat(value: object) -> list[object]:
    if isinstance(value, (list, tuple)):
        return [item for part in value for item in _flat(part)]
    return [value]


def _invocations(nodes: Sequence[fx.Node], module: fx.GraphModule, builder: Builder) -> list[Invocation]:
    found: list[Invocation] = []
    previous: object = None
    for node in nodes:
        if node.op in ("placeholder", "output", "get_attr"):
            continue
        region = regions.region_of(node)
        path, key = _leaf(node, builder.modules) if region is None else _leaf_of_region(region, module, builder)
        if key is not None and key == previous:
            found[-1] = Invocation((*found[-1].nodes, node), path)
        else:
            found.append(Invocation((node,), path))
        previous = key
    return [part for invocation in found for part in _apart(invocation)]


def _apart(invocation: Invocation) -> list[Invocation]:
    """What ran in a part only is read from the graph of that part."""
    if all(regions.region_of(node) for node in invocation.nodes):
        return [Invocation((node,)) for node in invocation.nodes]
    return [invocation]


def _leaf(node: fx.Node, modules: Modules) -> tuple[str | None, object]:
    """The path of the outermost known layer that ran this node, and what tells this run of it from others."""
    stack = node.meta.get("nn_module_stack") or {}
    keys: list[str] = []
    for key, (path, _) in stack.items():
        keys.append(key)
        plain = str(path).partition("@")[0]
        if plain in modules.by_path:
            return plain, tuple(keys)
    return None, None


def _leaf_of_region(region: fx.Node, module: fx.GraphModule, builder: Builder) -> tuple[str | None, object]:
    """The one known layer that ran all of a part, and changed nothing but its own tensors there (the power iteration
    of spectral norm)."""
    inner, given = regions.body(region, module)
    nodes = regions.computing(inner)
    found = dict.fromkeys(_leaf(node, builder.modules) for node in nodes)
    path, key = next(iter(found), (None, None))
    if path is None or len(found) > 1 or any(map(regions.is_region, nodes)):
        return None, None
    layer = builder.modules.by_path[path]
    written = dict(regions.written(inner, given))
    if not all(_own(target, layer, builder) for target in written.values()):
        return None, None
    for result, made in regions.results(region, inner):
        if made in written:  # a buffer that was iterated is still that buffer to the next run of the layer
            builder.stored[result] = builder.stored[written[made]]
    return path, key


def _innermost(node: fx.Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    return str(list(stack.values())[-1][0]).partition("@")[0] if stack else ""


def _collapses(invocation: Invocation, builder: Builder) -> bool:
    """A layer with hooks is one call only if the hooks added no operation."""
    assert invocation.path is not None
    if invocation.path not in builder.modules.hooked:
        return True
    return len(_computing(invocation, builder)) <= 1


def _doubt(invocation: Invocation, builder: Builder) -> None:
    assert invocation.path is not None
    layer = builder.modules.by_path[invocation.path]
    layer.reason = f"forward hooks on this {layer.kind} compute" if layer.kind != "unknown" else layer.reason
    layer.kind = "unknown"


def _own(node: fx.Node, layer: graph.Layer, builder: Builder) -> bool:
    """Does this node read a tensor of the layer itself."""
    name = builder.stored.get(node)
    return name is not None and any(name in tensor.names for tensor in layer.state.values())


def _computing(invocation: Invocation, builder: Builder) -> list[fx.Node]:
    """The nodes that do not just count batches in a buffer."""
    layer = builder.modules.by_path[invocation.path or ""]
    return [node for node in invocation.nodes if not any(_own(target, layer, builder) for target in writes_to(node))]


def _collapse(invocation: Invocation, builder: Builder) -> None:
    path = invocation.path or ""
    layer = builder.modules.by_path[path]
    inside = set(invocation.nodes)
    computing = _computing(invocation, builder) or list(invocation.nodes)
    seen = [node for node in computing if any(user not in inside for user in node.users)]
    results = [node for node in seen if node not in builder.stored] or computing[-1:]
    outside = [
        source
        for node in invocation.nodes
        for source in tensors_in((node.args, node.kwargs))
        if source not in inside and is_tensor(source) and source.op != "get_attr" and not _own(source, layer, builder)
    ]
    for node in invocation.nodes:
        # A buffer that was counted up is still that buffer to the next run of the layer.
        for target in writes_to(node):
            if _own(target, layer, builder):
                builder.stored[node] = builder.stored[target]
    training = _mode(invocation.nodes, layer)
    single = len(results) == 1
    call = builder.add(
        layer,
        [builder.read(source) for source in outside],
        tuple(invocation.nodes),
        results[0] if single else None,
        path,
        training,
    )
    if path in builder.modules.hooked:
        call.escapes = graph.Unknown("a forward hook on it sees its result")
    if not single:
        _parts(call, results, builder)
    for node in invocation.nodes:
        _effects(node, builder, inside)


def _parts(call: graph.Call, results: Sequence[fx.Node], builder: Builder) -> None:
    """A layer with several results (LSTM, attention): one "getitem" for each that is read."""
    for index, node in enumerate(results):
        item = graph.Layer(
            "getitem", f"{call.layer.name}[{index}]", call.site, {"index": graph.Argument(index)}, training=False
        )
        builder.add(item, (call,), (), node, call.site.module)


def _mode(nodes: Sequence[fx.Node], layer: graph.Layer) -> bool | graph.Unknown:
    """For batch and instance norms the operator tells which statistics are used; else the mode of the layer."""
    if layer.kind in norms.BATCH or layer.kind in norms.INSTANCE:
        for node in nodes:
            index = _MODES.get(kind_of_operator(node.target))
            if index is not None and len(node.args) > index:
                return bool(node.args[index])
    return layer.training


def _effects(node: fx.Node, builder: Builder, inside: set[fx.Node]) -> None:
    seen = view_of(node)
    if seen is not None:
        builder.look(node, seen)
    for target in writes_to(node):
        if target not in inside:
            builder.change(target, node)


def _operation(node: fx.Node, module: fx.GraphModule, builder: Builder) -> None:
    """Add one operation that no known layer ran."""
    kind = kind_of_operator(node.target)
    if kind in _IGNORED:
        return
    if kind in regions.KINDS:
        _inline(node, module, builder)
        return
    if not is_tensor(node) and not writes_to(node):
        return
    source = node.args[0] if node.args else None
    if kind == "getitem" and isinstance(source, fx.Node) and node in builder.values:
        return
    path = _innermost(node)
    owner = builder.modules.modes.get(path, graph.Unknown("the module that runs it is not known"))
    layer = operator_layer(node, path, owner)
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        layer.kind, layer.reason = "unknown", f"`{kind}` runs a graph of its own"
    sources = [item for item in tensors_in((node.args, node.kwargs)) if is_tensor(item) and item.op != "get_attr"]
    index = _MODES.get(kind)
    training = bool(node.args[index]) if index is not None and len(node.args) > index else owner
    builder.add(layer, [builder.read(item) for item in sources], (node,), node, path, training)
    _effects(node, builder, set())


def _inline(node: fx.Node, module: fx.GraphModule, builder: Builder) -> None:
    """A region under no_grad or autocast is a graph of its own: its calls belong to the graph around it."""
    inner, given = regions.body(node, module)
    for placeholder, source in zip(inner.graph.find_nodes(op="placeholder"), given, strict=False):
        if not isinstance(source, fx.Node):
            continue
        if source in builder.stored and source not in builder.values:
            builder.stored[placeholder] = builder.stored[source]
        elif source in builder.values:
            builder.values[placeholder] = builder.values[source]
    results = _walk(inner, builder)
    for user in node.users:
        index = user.args[1] if kind_of_operator(user.target) == "getitem" else None
        if isinstance(index, int) and index < len(results) and isinstance(results[index], fx.Node):
            made = builder.read(results[index])  # type: ignore[arg-type]  # a node, checked above
            if isinstance(made, graph.Call):
                builder.values[user] = made
