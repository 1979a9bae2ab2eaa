"""Parts of a forward pass under no_grad or autocast, which torch.export makes graphs of their own."""

from __future__ import annotations

from collections.abc import Iterator

from torch import fx

from normfix.readers.live.operators import kind_of_operator, writes_to

KINDS = ("wrap_with_set_grad_enabled", "wrap_with_autocast")


def is_region(value: object) -> bool:
    """Is this node such a part."""
    return isinstance(value, fx.Node) and kind_of_operator(value.target) in KINDS


def region_of(node: fx.Node) -> fx.Node | None:
    """The part that this node is, or takes a result of."""
    first = node.args[0] if node.args else None
    return node if is_region(node) else first if isinstance(first, fx.Node) and is_region(first) else None


def body(region: fx.Node, module: fx.GraphModule) -> tuple[fx.GraphModule, list[object]]:
    """The graph of a part, and what it is given for each of its placeholders."""
    held = next(item for item in region.args if isinstance(item, fx.Node) and item.op == "get_attr")
    return getattr(module, str(held.target)), list(region.args[region.args.index(held) + 1 :])


def computing(inner: fx.GraphModule) -> list[fx.Node]:
    """The operations of a part."""
    return [node for node in inner.graph.nodes if node.op == "call_function"]


def written(inner: fx.GraphModule, given: list[object]) -> Iterator[tuple[fx.Node, fx.Node]]:
    """What lies outside of a part and is changed by it in place, each with the node that stands for it from then on."""
    outside = dict(zip(inner.graph.find_nodes(op="placeholder"), given, strict=False))
    for node in computing(inner):
        for target in writes_to(node):
            changed = outside.get(target)
            if isinstance(changed, fx.Node):
                yield node, changed


def results(region: fx.Node, inner: fx.GraphModule) -> Iterator[tuple[fx.Node, object]]:
    """The nodes that take a result of a part, each with the node within that made it."""
    made = inner.graph.output_node().args[0]
    for user in region.users:
        index = user.args[1] if kind_of_operator(user.target) == "getitem" else None
        if isinstance(index, int) and isinstance(made, (tuple, list)) and index < len(made):
            yield user, made[index]
