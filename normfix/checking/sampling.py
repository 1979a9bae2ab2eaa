"""What the layers of a model compute before and after a rewrite, as samples for the plots of a report."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from normfix.reports.plots import Outputs

_MOST = 4096
"""Values that are kept of one output."""
_LAYERS = 40


def outputs(before: Any, after: Any, example_inputs: Sequence[Any], names: Sequence[str]) -> list[Outputs]:
    """A sample of the output of both models, and of the layers of these names that both of them hold.

    Copies run in eval mode, so neither model is changed. Empty where there are no inputs, or where either is no module.
    """
    if not example_inputs or not isinstance(before, nn.Module) or not isinstance(after, nn.Module):
        return []
    shared = [name for name in names if _submodule(before, name) and _submodule(after, name)][:_LAYERS]
    old, new = (_run(model, example_inputs, shared) for model in (before, after))
    return [Outputs(name, old[name], new[name]) for name in old if old[name] and new.get(name)]


def _submodule(model: nn.Module, name: str) -> nn.Module | None:
    try:
        return model.get_submodule(name)
    except AttributeError:
        return None


def _run(model: nn.Module, inputs: Sequence[Any], names: Sequence[str]) -> dict[str, list[float]]:
    """The samples of one model by layer name, its own output first; empty where it does not run."""
    model = copy.deepcopy(model).eval()
    samples: dict[str, list[float]] = {"output": []}
    for name in names:
        module = _submodule(model, name)
        if module is not None:
            module.register_forward_hook(partial(_keep, samples, name))
    with torch.no_grad(), torch.random.fork_rng():
        result = model(*copy.deepcopy(tuple(inputs)))
    samples["output"] = _sample(result)
    return samples


def _keep(samples: dict[str, list[float]], name: str, module: nn.Module, inputs: object, output: object) -> None:
    samples[name] = _sample(output)


def _sample(output: object) -> list[float]:
    """Evenly spaced values of the first tensor in an output."""
    leaves = torch.utils._pytree.tree_leaves(output)
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()]
    if not tensors or tensors[0].is_meta:
        return []
    flat = tensors[0].detach().flatten()
    values: list[float] = flat[:: max(flat.numel() // _MOST, 1)].double().tolist()
    return values
