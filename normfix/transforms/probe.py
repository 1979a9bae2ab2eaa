"""Small experiments on a copy of one module, for classes whose forward nobody here has read."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from normfix.errors import Refused
from normfix.proof.copying import copied
from normfix.proof.measure import run_float64
from normfix.transforms.flow import Flow
from normfix.transforms.nodes import shape

_STOCK_MODULES = ("torch.nn.modules.",)
_CLOSE = 1e-12


def is_stock(module: nn.Module) -> bool:
    """Is this exactly a class of torch.nn."""
    return type(module).__module__.startswith(_STOCK_MODULES)


def run(module: nn.Module, *inputs: Tensor) -> Tensor:
    """What a copy of the module makes of the inputs in float64, whatever it casts to on the way; the random state is
    left alone. Raises `TypeError` where that is not one tensor, `RuntimeError` where it does not run."""
    result = run_float64(copied(module).double().cpu(), inputs, {})
    if result.failure:
        raise RuntimeError(result.failure)
    if len(result.outputs) != 1 or result.names != ("",):
        raise TypeError(f"{type(module).__name__} returned more than a tensor")
    return result.outputs[0]


def noise(sizes: tuple[int, ...]) -> Tensor:
    """The same wide random input every time, whatever the global seed."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(sizes, generator=generator, dtype=torch.float64) * 3


def close(first: Tensor, second: Tensor) -> bool:
    """Are two float64 results equal up to rounding."""
    if first.shape != second.shape:
        return False
    size = max(float(first.abs().max()), 1.0) if first.numel() else 1.0
    return bool(((first - second).abs() <= _CLOSE * size).all())


def entries(flow: Flow, node: fx.Node) -> list[fx.Node]:
    """The tensors that the module call around `node` reads from outside, parameters and buffers aside."""
    key = flow.steps(node)[-1].key
    inside = [other for other in flow.nodes if any(step.key == key for step in flow.steps(other))]
    read = {source for other in inside for source in other.all_input_nodes if source not in inside}
    return [source for source in read if flow.tensor(source) is None]


def takes_a_bias(flow: Flow, module: nn.Module, path: str, node: fx.Node) -> None:
    """Does a layer that has no bias use one that is given to it. Raises `Refused` where it does not."""
    if is_stock(module):
        return
    added = torch.arange(1.0, shape(node)[_axis(node)] + 1)
    with_bias = copied(module)
    with_bias.register_parameter("bias", nn.Parameter(added))
    if not _differ_by(flow, path, node, (module, with_bias), added.double()):
        raise Refused(f"`{path}` is a {type(module).__name__}, which would not use a bias")


def does_without_bias(flow: Flow, module: nn.Module, path: str, node: fx.Node) -> None:
    """Does a layer still work once its bias is None. Raises `Refused` where it does not."""
    if is_stock(module):
        return
    bias = module.get_parameter("bias").detach().double().cpu()
    without = copied(module)
    without.register_parameter("bias", None)
    if not _differ_by(flow, path, node, (without, module), bias):
        raise Refused(f"`{path}` is a {type(module).__name__}, which does more with its bias than add it")


def _differ_by(flow: Flow, path: str, node: fx.Node, pair: tuple[nn.Module, nn.Module], expected: Tensor) -> bool:
    """Is the second module's result the first one's, plus one number for each output channel."""
    found = entries(flow, node)
    kind = type(pair[0]).__name__
    if len(found) != 1:
        raise Refused(f"`{path}` is a {kind}, which normfix does not know")
    inputs = noise(shape(found[0]))
    try:
        first, second = run(pair[0], inputs), run(pair[1], inputs)
    except (RuntimeError, TypeError) as error:
        raise Refused(f"`{path}` is a {kind}, which cannot be tried alone: {error}") from error
    sizes = [1] * first.dim()
    sizes[_axis(node)] = -1
    return close(first + expected.reshape(sizes), second)


def _axis(node: fx.Node) -> int:
    weight = node.args[1] if len(node.args) > 1 else None
    rank = len(shape(weight)) if isinstance(weight, fx.Node) else 2
    return len(shape(node)) - (rank - 1) if rank > 2 else len(shape(node)) - 1
