"""What has to hold before any tensor or module of a model is changed. Each guard raises `Refused` with a sentence."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch
from torch import fx, nn
from torch.nn.utils import parametrize

from normfix.errors import Refused
from normfix.readers.live.operators import view_of
from normfix.transforms.flow import Flow, same_module
from normfix.transforms.nodes import argument, operation

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_ASKS_FOR_ORDER = frozenset({"view", "view_as", "_unsafe_view"})
_MAKES_ORDER = frozenset({"contiguous", "reshape", "flatten"})
_KEY_HOOKS = (
    "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks",
)  # fmt: skip


def no_hooks(module: nn.Module, path: str) -> None:
    """A hook sees, and may change, what goes in and out."""
    if any(getattr(module, name, None) for name in _HOOKS):
        raise Refused(f"`{path}` has hooks, which see what goes through it")


def no_hooks_on_the_way(flow: Flow, one: fx.Node, other: fx.Node) -> None:
    """No module between two nodes and the sum that they meet in has hooks: what goes through it will be another."""
    ways = [list(_way(flow, node)) for node in (one, other)]
    meeting = next(node for node in ways[0] if node in ways[1])
    around = {step.key for step in flow.steps(meeting)}
    for way in ways:
        for node in way[: way.index(meeting)]:
            for step in flow.steps(node):
                if step.key not in around:
                    no_hooks(flow.model.get_submodule(step.path), step.path)


def _way(flow: Flow, node: fx.Node) -> Iterator[fx.Node]:
    """This node, and what reads each in turn, as long as nothing else does."""
    yield node
    while len(flow.readers(node)) == 1:
        node = flow.readers(node)[0]
        yield node


def no_key_hooks(module: nn.Module, path: str) -> None:
    """Another module in this one's place would not run them."""
    if any(getattr(module, name, None) for name in _KEY_HOOKS):
        raise Refused(f"`{path}` has hooks on its state dict, which another module would not run")


def no_parametrization(module: nn.Module, path: str) -> None:
    """A parametrized tensor is computed afresh at every call."""
    if parametrize.is_parametrized(module):
        raise Refused(f"`{path}` is parametrized: its tensors are computed at every call")


def own_tensor(flow: Flow, name: str, readers: Collection[fx.Node]) -> None:
    """The tensor is read by these nodes only, and no other module or tensor is tied to it."""
    others = [node for node in flow.readers_of(name) if node not in readers]
    homes = {flow.home(node) for node in readers}
    if others and flow.home(others[0]) in homes:
        raise Refused(f"`{flow.home(others[0])}` is called elsewhere too, without this norm")
    if others:
        raise Refused(f"`{name}` is also read by {flow.name(others[0])}")
    aliases = flow.aliases[name]
    if not same_module(flow.model, aliases):
        raise Refused(f"`{name}` is tied to `{next(alias for alias in aliases if alias != name)}`")
    shared = flow.shared.get(name)
    if shared:
        raise Refused(f"`{name}` shares its memory with `{shared[0]}`")


def not_kept_elsewhere(flow: Flow, module: nn.Module, path: str) -> None:
    """The module is reached through registered names only, so that every call of it sees the replacement."""
    if flow.kept is None:
        flow.kept = plain_attributes(flow.model)
    if id(module) in flow.kept:
        raise Refused(f"`{path}` is also kept in the plain attribute `{flow.kept[id(module)]}`")


def gradient_hooks(model: nn.Module) -> list[str]:
    """Parameters with hooks on their gradients, which a deep copy does not have."""
    hooks = ("_backward_hooks", "_post_accumulate_grad_hooks")
    return [name for name, tensor in model.named_parameters() if any(getattr(tensor, hook, None) for hook in hooks)]


def plain_attributes(model: nn.Module) -> dict[int, str]:
    """Modules that are held outside the registered names, in lists and the like: the attribute of each, by id."""
    return {
        id(item): f"{path}.{name}".lstrip(".")
        for path, holder in model.named_modules()
        for name, value in vars(holder).items()
        if not name.startswith("_")
        for item in _items(value)
        if isinstance(item, nn.Module)
    }


def _items(value: object, depth: int = 2) -> Iterator[object]:
    yield value
    if depth and isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _items(item, depth - 1)
    elif depth and isinstance(value, dict):
        for item in value.values():
            yield from _items(item, depth - 1)


def not_changed_in_place(flow: Flow, node: fx.Node, since: fx.Node | None = None) -> None:
    """No operation writes into the memory of this tensor after `since` (or after it was made), once a norm there hands
    it on instead of a copy."""
    for writer in _writers(flow, node, flow.position(since or node), len(flow.nodes)):
        raise Refused(f"{flow.name(writer)} changes {flow.name(node)} in place")


def memory_in_order(flow: Flow, path: str, read: fx.Node, result: fx.Node) -> None:
    """No `view` asks for memory in order where the norm that puts it in order goes."""
    while read in flow.removed:
        read = flow.removed[read]
    value = read.meta.get("val")
    if not isinstance(value, torch.Tensor) or _in_order(value):
        return
    seen = {result}
    waiting = [result]
    while waiting:
        node = waiting.pop()
        for reader in flow.readers(node):
            if operation(reader) in _ASKS_FOR_ORDER and reader.args[0] is node:
                raise Refused(f"`{path}` puts memory in order, which {flow.name(reader)} asks for")
            if reader not in seen and operation(reader) not in _MAKES_ORDER and _keeps_order(flow, reader):
                seen.add(reader)
                waiting.append(reader)


def _in_order(value: torch.Tensor) -> bool:
    return value.is_contiguous() or (value.dim() == 4 and value.is_contiguous(memory_format=torch.channels_last))


def _keeps_order(flow: Flow, node: fx.Node) -> bool:
    pointwise = torch.Tag.pointwise in getattr(node.target, "tags", ())
    return node in flow.removed or pointwise or view_of(node) is not None


def not_written_between(flow: Flow, read: fx.Node, one: fx.Node, other: fx.Node) -> None:
    """Both nodes read the same values of this tensor: nothing writes into its memory after one and before the other."""
    first, last = sorted((flow.position(one), flow.position(other)))
    for writer in _writers(flow, read, first, last):
        both = f"{flow.name(one)} and {flow.name(other)}"
        raise Refused(f"{flow.name(writer)} changes what {both} read, between the two")


def _writers(flow: Flow, node: fx.Node, first: int, last: int) -> Iterator[fx.Node]:
    """What writes into the memory of a tensor between two positions."""
    memory = _memory(flow, node)
    for writer, targets in flow.writes:
        if first < flow.position(writer) < last and any(_memory(flow, target) is memory for target in targets):
            yield writer


def _memory(flow: Flow, node: fx.Node) -> fx.Node:
    """The node that made the memory that this one looks into."""
    seen: object = node
    while isinstance(seen, fx.Node):
        node = seen
        if node in flow.removed:
            seen = flow.removed[node]
        elif operation(node) == "dropout" and not argument(node, "train"):
            seen = node.args[0]  # handed on as it is, which its schema does not tell
        else:
            seen = view_of(node)
    return node


def not_called_again(flow: Flow, conv: fx.Node) -> None:
    """The layer that made this node makes no other."""
    path = flow.home(conv)
    again = [node for node in flow.at_home(path) if operation(node) == operation(conv)]
    if len(again) > 1 and isinstance(flow.module(path), nn.modules.conv._ConvNd):
        raise Refused(f"`{path}` is called more than once")


def writes_in_place(node: fx.Node) -> bool:
    """Does this operation write into what it reads."""
    schema = getattr(node.target, "_schema", None)
    return operation(node) != "detach" and any(
        argument.alias_info is not None and argument.alias_info.is_write
        for argument in getattr(schema, "arguments", ())
    )


def finite(value: torch.Tensor, name: str) -> None:
    """Every element is a number."""
    if not bool(torch.isfinite(value).all()):
        raise Refused(f"`{name}` holds values that are not finite")
