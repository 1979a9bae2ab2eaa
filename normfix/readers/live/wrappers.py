"""What is put around a model or a layer: wrappers, hooks, reparametrizations."""

from __future__ import annotations

import torch
from torch import nn

from normfix.errors import UsageError
from normfix.readers.live.kinds import qualified


def unwrap(model: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """The module inside DataParallel, DistributedDataParallel and torch.compile, and the names of what was around it.

    Raises UsageError for a wrapper that spreads the parameters (FSDP), and for what is no module at all.
    """
    around: list[str] = []
    while True:
        name = type(model).__name__
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        elif name == "OptimizedModule" and hasattr(model, "_orig_mod"):
            model = model._orig_mod  # type: ignore[assignment]  # torch.compile holds the module there
        elif name.startswith("GradSampleModule") and isinstance(getattr(model, "_module", None), nn.Module):
            model = model._module  # type: ignore[assignment]  # Opacus holds the module there
        elif name in ("FullyShardedDataParallel", "DeepSpeedEngine"):
            raise UsageError(f"cannot read `{qualified(type(model))}`: its parameters are spread; pass the model in it")
        else:
            return model, tuple(around)
        around.append(name)


def require_plain(model: object) -> nn.Module:
    """The model itself. Raises UsageError for what is no module, and for lazy layers that no batch has passed."""
    if not isinstance(model, nn.Module):
        raise UsageError(f"cannot read a `{type(model).__name__}`: it is no torch.nn.Module")
    for path, module in model.named_modules():
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            if torch.nn.parameter.is_lazy(tensor):
                cls = type(module).__name__
                raise UsageError(
                    f"cannot read `{path or cls}` ({cls}): its `{name}` has no shape yet; run one forward pass first"
                )
    return model


_PREPARING = {"WeightNorm": "weight_norm", "SpectralNorm": "spectral_norm"}
_PARAMETRIZATIONS = {"_WeightNorm": "weight_norm", "_SpectralNorm": "spectral_norm", "_Orthogonal": "orthogonal"}


def is_hooked(module: nn.Module) -> bool:
    """Has the caller put forward hooks on this module; torch's own, which prepare a weight, do not count."""
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    return any(not type(hook).__module__.startswith("torch.nn.utils.") for hook in hooks)


def wrappers_of(module: nn.Module) -> tuple[str, ...]:
    """Names of the reparametrizations of a module: "weight_norm", "spectral_norm", "prune", or their class.

    A weight norm that is not along the first dimension says so: "weight_norm(dim=1)".
    """
    found: list[str] = []
    for hook in module._forward_pre_hooks.values():
        home, name = type(hook).__module__, type(hook).__name__
        if home.startswith("torch.nn.utils."):
            found.append(_along(_PREPARING.get(name, "prune" if home.endswith("prune") else name), hook))
    parametrizations = getattr(module, "parametrizations", None)
    if isinstance(parametrizations, nn.ModuleDict):
        for steps in parametrizations.values():
            assert isinstance(steps, nn.ModuleList)
            found += [_along(_PARAMETRIZATIONS.get(type(step).__name__, type(step).__name__), step) for step in steps]
    return tuple(dict.fromkeys(found))


def _along(name: str, step: object) -> str:
    dimension = getattr(step, "dim", 0)
    return f"{name}(dim={dimension})" if name == "weight_norm" and dimension != 0 else name
