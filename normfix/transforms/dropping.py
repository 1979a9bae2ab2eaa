"""drop_bias: a bias that a norm subtracts again is computed for nothing.

Pattern: y = f(x) + b, then a norm whose mean runs over everything but the channels. Its output does not depend on b
while it normalises with its input's statistics; in eval, running_mean' = running_mean - b keeps it. So

    BN(f(x) + b; running_mean) = BN(f(x); running_mean - b)

in both modes, and stays so while training moves running_mean. Equivalence: always. The key `bias` goes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import fx, nn

from normfix.errors import Refused
from normfix.rewrites import Change, Equivalence, Refusal
from normfix.transforms import passes
from normfix.transforms.absorb import CONVOLUTIONS, TRANSPOSED, Landing, result_axis
from normfix.transforms.affine import Affine
from normfix.transforms.base import DropTensor, Edit, Plan
from normfix.transforms.flow import Flow
from normfix.transforms.guards import no_hooks, own_tensor
from normfix.transforms.nodes import argument, operation, shape
from normfix.transforms.probe import does_without_bias
from normfix.transforms.store import Store

EQUIVALENCE = Equivalence.ALWAYS
_PRODUCERS = frozenset({*CONVOLUTIONS, *TRANSPOSED, "linear"})
_CANCELS = frozenset({"batch_norm", "instance_norm", "group_norm"})
_BY_CHANCE = frozenset("dropout alpha_dropout feature_dropout feature_alpha_dropout native_dropout".split())
_LAYERS = (nn.modules.conv._ConvNd, nn.Linear)
_MODULES = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.GroupNorm)


def plan(
    flow: Flow,
    state: Mapping[str, torch.Tensor],
    frozen: Collection[str] = (),
    only: Collection[str] | None = None,
) -> Plan:
    """Work out which biases go. `flow` must have been captured in eval mode; `frozen` are the norms that training
    leaves in eval mode; `only`: paths of the layers to look at. A bias that no norm is near is not listed."""
    store = Store(state)
    done = Plan()
    drops: list[Edit] = []
    for name, nodes in _biases(flow).items():
        path = flow.home(nodes[0])
        if only is not None and path not in only:
            continue
        try:
            with store:
                norms = _drop(flow, store, name, nodes, frozen)
        except Refused as refused:
            if _meets_a_norm(flow, nodes):
                done.refused.append(Refusal(path, f"the bias of `{path}` stays, since {refused.reason}"))
            continue
        drops.append(DropTensor(name))
        done.applied.append(Change(path, f"bias dropped, since {norms} subtracts it"))
    done.edits = [*store.edits(), *drops]
    return done


def _biases(flow: Flow) -> dict[str, list[fx.Node]]:
    """Every stored bias, and the nodes that add it."""
    found: dict[str, list[fx.Node]] = {}
    for node in flow.nodes:
        if operation(node) in _PRODUCERS:
            name = flow.tensor(argument(node, "bias"))
            if name is not None:
                found.setdefault(name, []).append(node)
    return found


def _drop(flow: Flow, store: Store, name: str, nodes: list[fx.Node], frozen: Collection[str]) -> str:
    own_tensor(flow, name, nodes)
    path = flow.home(nodes[0])
    module = flow.module(path)
    if module is None or getattr(module, "bias", None) is None or not isinstance(module, _LAYERS):
        raise Refused(f"{flow.name(nodes[0])} is a functional call, not a layer that could do without")
    no_hooks(module, path)
    does_without_bias(flow, module, path, nodes[0])
    bias = store.read(name)
    landings: list[Landing] = []
    for node in nodes:
        axis, _ = result_axis(node)
        landings += _norms(flow, node, Affine.along(axis, len(shape(node)), torch.ones_like(bias), bias))
    if len({landing.node for landing in landings}) != len(landings):
        raise Refused("it reaches one norm on two ways")
    by_module: dict[str, list[Landing]] = {}
    for landing in landings:
        by_module.setdefault(flow.home(landing.node), []).append(landing)
    for path, group in by_module.items():
        _shift(flow, store, path, group, frozen)
    return ", ".join(f"`{path}`" for path in by_module)


def _norms(flow: Flow, node: fx.Node, affine: Affine) -> list[Landing]:
    """The norms that read this node, each with the constant that reaches it."""
    readers = flow.readers(node)
    if not readers:
        raise Refused(f"nothing reads {flow.name(node)}")
    found: list[Landing] = []
    for reader in readers:
        name = operation(reader)
        if reader.op == "output":
            raise Refused(f"{flow.name(node)} is an output of the model")
        if name in _CANCELS and reader.args[0] is node:
            found.append(Landing(reader, affine))
            continue
        if name in _BY_CHANCE:
            raise Refused(f"{flow.name(reader)} drops elements in training")
        if name in ("mul", "div") and len(reader.all_input_nodes) > 1:
            raise Refused(f"{flow.name(reader)} multiplies by a tensor, which training may change")
        found += _norms(flow, reader, passes.push(flow, reader, node, affine))
    return found


def _shift(flow: Flow, store: Store, path: str, landings: list[Landing], frozen: Collection[str]) -> None:
    module = flow.module(path)
    if not isinstance(module, _MODULES):
        raise Refused(f"{flow.name(landings[0].node)} is not a norm layer that normfix can change")
    no_hooks(module, path)
    if isinstance(module, nn.GroupNorm):
        if module.num_groups != module.num_channels:
            raise Refused(f"`{path}` takes its mean over several channels")
    elif path in frozen:
        raise Refused(f"`{path}` is frozen: while training it does not subtract the mean of its input")
    vectors = [
        landing.affine.vectors(1, shape(landing.node)[1], f"the channels of `{path}`")[1] for landing in landings
    ]
    if not all(torch.equal(vectors[0], other) for other in vectors[1:]):
        raise Refused(f"`{path}` is reached by different biases")
    mean = argument(landings[0].node, "running_mean") if operation(landings[0].node) != "group_norm" else None
    if mean is None:
        return
    name = flow.tensor(mean)
    if name is None:
        raise Refused(f"the running mean of `{path}` is computed, not stored")
    own_tensor(flow, name, [landing.node for landing in landings])
    store.write(name, store.read(name) - vectors[0], name)


def _meets_a_norm(flow: Flow, nodes: list[fx.Node]) -> bool:
    """Does any norm stand right behind, or behind one operation."""
    near = [reader for node in nodes for reader in flow.readers(node)]
    near += [reader for node in list(near) for reader in flow.readers(node)]
    return any(operation(reader) in _CANCELS for reader in near)
