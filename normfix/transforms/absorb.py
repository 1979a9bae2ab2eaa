"""Layers that can take an affine map into their weights: the ones that make a tensor, and the ones that read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from normfix.errors import Refused
from normfix.transforms import algebra
from normfix.transforms.affine import Affine
from normfix.transforms.flow import Flow
from normfix.transforms.guards import no_hooks, no_parametrization, own_tensor
from normfix.transforms.nodes import argument, operation, shape, source
from normfix.transforms.probe import takes_a_bias
from normfix.transforms.store import Store

CONVOLUTIONS = {f"conv{rank}d": rank for rank in (1, 2, 3)}
TRANSPOSED = {f"conv_transpose{rank}d": rank for rank in (1, 2, 3)}
NORMS = frozenset({"batch_norm", "instance_norm", "group_norm", "layer_norm"})
PRODUCERS = frozenset({*CONVOLUTIONS, *TRANSPOSED, "linear", "embedding"}) | NORMS
_STOCK = {
    **{kind: getattr(nn, f"Conv{rank}d") for kind, rank in CONVOLUTIONS.items()},
    **{kind: getattr(nn, f"ConvTranspose{rank}d") for kind, rank in TRANSPOSED.items()},
    "linear": nn.Linear,
    "embedding": nn.Embedding,
}


@dataclass(frozen=True, slots=True)
class Landing:
    """A node whose layer takes the map: on its result (from behind) or on what it reads (from ahead)."""

    node: fx.Node
    affine: Affine


def into_producer(flow: Flow, store: Store, landings: Sequence[Landing]) -> str:
    """Fold the map into the layer that makes these nodes, all its calls. Returns the layer's path."""
    node = landings[0].node
    name = operation(node)
    axis, size = result_axis(node)
    vectors = [landing.affine.vectors(axis, size, flow.name(node)) for landing in landings]
    layer = weights_of(flow, [landing.node for landing in landings])
    s, t = _same(vectors, flow.name(node))
    weight, bias = layer.read(store)
    changed: tuple[Tensor, Tensor | None]
    if name in TRANSPOSED:
        changed = algebra.after_transposed(weight, bias, s, t, int(argument(node, "groups")))  # type: ignore[call-overload]  # an int
    elif name == "embedding":
        changed = (weight * s + t, None)
    elif name in NORMS:
        changed = weight * s.reshape(weight.shape), algebra.after_norm(bias, s, t).reshape(weight.shape)
    else:
        changed = algebra.after_convolution(weight, bias, s, t)
    layer.write(store, *changed)
    return layer.path


def into_consumer(flow: Flow, store: Store, landings: Sequence[Landing]) -> str:
    """Fold the map into the layer that reads a mapped tensor, all its calls. Returns the layer's path."""
    node = landings[0].node
    axis, size = _read_axis(node)
    vectors = [landing.affine.vectors(axis, size, f"what {flow.name(node)} reads") for landing in landings]
    s, t = _same(vectors, flow.name(node))
    for landing in landings:
        if bool(t.any()) and _pads_with_zeros(landing.node):
            raise Refused(f"{flow.name(landing.node)} pads with zeros, which the shift of the norm does not reach")
    layer = weights_of(flow, [landing.node for landing in landings])
    weight, bias = layer.read(store)
    groups = int(argument(node, "groups")) if operation(node) in CONVOLUTIONS else 1  # type: ignore[call-overload]  # an int
    layer.write(store, *algebra.before_convolution(weight, bias, s, t, groups))
    return layer.path


@dataclass(frozen=True, slots=True)
class Weights:
    """The weight and bias of one module, by name; a missing bias (or weight of a norm) is made on writing."""

    path: str
    weight: str
    bias: str | None
    like: str
    size: tuple[int, ...]

    def read(self, store: Store) -> tuple[Tensor, Tensor | None]:
        weight = store.read(self.weight) if store.holds(self.weight) else torch.ones(self.size, dtype=torch.float64)
        return weight, store.read(self.bias) if self.bias is not None and store.holds(self.bias) else None

    def write(self, store: Store, weight: Tensor, bias: Tensor | None) -> None:
        store.write(self.weight, weight, self.like)
        if bias is not None and self.bias is not None:
            store.write(self.bias, bias, self.like)


def weights_of(flow: Flow, nodes: Sequence[fx.Node]) -> Weights:
    """Those of the layer that these nodes are the only calls of. Raises `Refused` where they cannot be changed."""
    node = nodes[0]
    path = flow.home(node)
    module = flow.module(path)
    if module is None or (operation(node) in _STOCK and not isinstance(module, _STOCK[operation(node)])):
        raise Refused(f"{flow.name(node)} is a functional call, not a layer whose weights could be changed")
    no_hooks(module, path)
    no_parametrization(module, path)
    weight, bias = (_tensor(flow, node, name, path) for name in ("weight", "bias"))
    present = [name for name in (weight, bias) if name is not None]
    for name in present:
        own_tensor(flow, name, nodes)
    if any(operation(other) == operation(node) and other not in nodes for other in flow.at_home(path)):
        raise Refused(f"`{path}` is called elsewhere too, without this norm")
    if any(flow.home(other) != path for other in nodes):
        raise Refused(f"`{path}` shares its weight with another layer")
    if operation(node) != "embedding" and None in (weight, bias):
        takes_a_bias(flow, module, path, node)
    size: tuple[int, ...] = tuple(getattr(module, "normalized_shape", ())) or (result_axis(node)[1],)
    prefix = f"{path}." if path else ""
    like = weight or _tensor(flow, node, "running_mean", path)
    if like is None:
        raise Refused(f"`{path}` holds no tensor that tells its dtype")
    return Weights(path, weight or f"{prefix}weight", _bias_name(node, bias, prefix), like, size)


def _bias_name(node: fx.Node, bias: str | None, prefix: str) -> str | None:
    return None if operation(node) == "embedding" else bias or f"{prefix}bias"


def _tensor(flow: Flow, node: fx.Node, name: str, path: str) -> str | None:
    """The canonical name of a tensor argument; None where the node reads none. It belongs to the module itself."""
    try:
        value = argument(node, name)
    except KeyError:
        return None
    if value is None:
        return None
    found = flow.tensor(value)
    if found is None:
        by = f", by `{operation(value)}`" if isinstance(value, fx.Node) else ""
        raise Refused(f"the {name} of `{path}` is computed, not stored{by}")
    owners = {flow.paths[id(flow.model.get_submodule(alias.rpartition(".")[0]))] for alias in flow.aliases[found]}
    if path not in owners:
        raise Refused(f"the {name} that `{path}` reads belongs to `{found}`")
    return found


def _same(vectors: Sequence[tuple[Tensor, Tensor]], name: str) -> tuple[Tensor, Tensor]:
    first = vectors[0]
    if not all(torch.equal(first[0], s) and torch.equal(first[1], t) for s, t in vectors[1:]):
        raise Refused(f"{name} is called {len(vectors)} times, and not every call is followed by the same norm")
    return first


def result_axis(node: fx.Node) -> tuple[int, int]:
    """The axis of the output channels, and its size."""
    name, sizes = operation(node), shape(node)
    spatial = CONVOLUTIONS.get(name, TRANSPOSED.get(name))
    if spatial is not None:
        axis = len(sizes) - spatial - 1
    else:
        axis = 1 if name in NORMS and name != "layer_norm" else len(sizes) - 1
    return axis, sizes[axis]


def _read_axis(node: fx.Node) -> tuple[int, int]:
    sizes = shape(source(node))
    axis = len(sizes) - 1 - CONVOLUTIONS.get(operation(node), 0)
    return axis, sizes[axis]


def _pads_with_zeros(node: fx.Node) -> bool:
    if operation(node) not in CONVOLUTIONS:
        return False
    padding = argument(node, "padding")
    if isinstance(padding, str):
        weight = node.args[1]
        kernel = shape(weight)[2:] if isinstance(weight, fx.Node) else (0,)
        return padding != "valid" and any(size != 1 for size in kernel)
    sizes = padding if isinstance(padding, Sequence) else [padding]
    return any(sizes)
