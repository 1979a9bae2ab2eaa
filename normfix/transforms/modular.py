"""An exported program as a module whose convolutions, linear layers and batch norms are layers, functional calls too.

What `F.conv2d` and `F.batch_norm` read from anywhere becomes the state of a layer of its own, so that the transforms,
which edit modules, can change it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn
from torch.export import ExportedProgram

from normfix.transforms.absorb import CONVOLUTIONS, TRANSPOSED
from normfix.transforms.inlining import inlined
from normfix.transforms.nodes import argument, operation

_NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


def modular(program: ExportedProgram) -> fx.GraphModule:
    """A graph module that computes what the program does. Its layers share tensors where the program's calls did."""
    module = program.module()
    assert isinstance(module, fx.GraphModule)  # that is what an exported program unlifts to
    module.graph = inlined(module)
    for node in list(module.graph.nodes):
        layer = _layer(module, node) if node.op == "call_function" else None
        if layer is None:
            continue
        name = f"{node.name}_layer"
        module.add_submodule(name, layer)
        with module.graph.inserting_before(node):
            call = module.graph.call_module(name, (node.args[0],))
        call.meta = {key: value for key, value in node.meta.items() if key != "nn_module_stack"}
        node.replace_all_uses_with(call)
        module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    _drop_unread(module)
    module.recompile()
    return module


def _drop_unread(module: fx.GraphModule) -> None:
    """Delete the tensors that only the replaced calls have read: the layers hold them now."""
    read = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    called = {str(node.target) for node in module.graph.nodes if node.op == "call_module"}
    names = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    names += [name for name, _ in module.named_buffers(remove_duplicate=False)]
    for name in names:
        path, _, leaf = name.rpartition(".")
        if name not in read and path not in called:
            delattr(module.get_submodule(path), leaf)


def _layer(module: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    name = operation(node)
    if name == "batch_norm":
        return _norm(module, node)
    if name in ("layer_norm", "rms_norm"):
        return _norm_of_last_axes(module, node)
    weight, bias = (_stored(module, node, part) for part in ("weight", "bias")) if _weighs(name) else (None, None)
    if weight is None or (bias is None and argument(node, "bias") is not None):
        return None
    made = _made(name, node, weight, bias is not None)
    made.register_parameter("weight", weight)
    made.register_parameter("bias", bias)
    return made.eval()


def _weighs(name: str) -> bool:
    return name in CONVOLUTIONS or name in TRANSPOSED or name == "linear"


def _made(name: str, node: fx.Node, weight: nn.Parameter, bias: bool) -> nn.Module:
    if name == "linear":
        return nn.Linear(weight.shape[1], weight.shape[0], bias, device="meta")
    options: dict[str, Any] = {part: argument(node, part) for part in ("stride", "padding", "dilation", "groups")}
    kernel = tuple(weight.shape[2:])
    if name in TRANSPOSED:
        options["output_padding"] = argument(node, "output_padding")
        cls = getattr(nn, f"ConvTranspose{TRANSPOSED[name]}d")
        sizes = weight.shape[0], weight.shape[1] * options["groups"]
    else:
        cls = getattr(nn, f"Conv{CONVOLUTIONS[name]}d")
        sizes = weight.shape[1] * options["groups"], weight.shape[0]
    for part, value in options.items():
        if isinstance(value, (list, tuple)):
            options[part] = tuple(value) * (len(kernel) if len(value) == 1 else 1)
    layer: nn.Module = cls(*sizes, kernel, bias=bias, device="meta", **options)
    return layer


def _norm(module: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    value = node.args[0].meta.get("val") if isinstance(node.args[0], fx.Node) else None
    stored = {part: _stored(module, node, part) for part in ("running_mean", "running_var", "weight", "bias")}
    given = {part for part in stored if argument(node, part) is not None}
    if not isinstance(value, torch.Tensor) or any(stored[part] is None for part in given):
        return None
    if argument(node, "training") or not {"running_mean", "running_var"} <= given:
        return None
    eps = argument(node, "eps")
    norm = _NORMS[value.dim()](value.shape[1], eps=eps, affine=bool(given & {"weight", "bias"}), device="meta")  # type: ignore[arg-type]  # a number
    for part in ("running_mean", "running_var"):
        norm.register_buffer(part, stored[part])
    norm.num_batches_tracked = torch.tensor(0)
    for part in ("weight", "bias"):
        norm.register_parameter(part, _parameter(stored[part]))
    return norm.eval()


def _norm_of_last_axes(module: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    cls: Any = {"layer_norm": nn.LayerNorm, "rms_norm": nn.RMSNorm}[operation(node)]
    made: nn.Module = cls(argument(node, "normalized_shape"), argument(node, "eps"), device="meta")
    for part in list(made._parameters):
        stored = _stored(module, node, part)
        if stored is None and argument(node, part) is not None:
            return None
        made.register_parameter(part, stored)
    return made


def _parameter(tensor: torch.Tensor | None) -> nn.Parameter | None:
    return tensor if tensor is None or isinstance(tensor, nn.Parameter) else nn.Parameter(tensor, requires_grad=False)


def _stored(module: fx.GraphModule, node: fx.Node, name: str) -> Any:
    """The tensor that a node reads as a stored attribute; None where it is computed, or absent."""
    value = argument(node, name)
    if not isinstance(value, fx.Node) or value.op != "get_attr":
        return None
    path, _, leaf = str(value.target).rpartition(".")
    found = getattr(module.get_submodule(path), leaf)
    return _parameter(found) if name in ("weight", "bias") else found
