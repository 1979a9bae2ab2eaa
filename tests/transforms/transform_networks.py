"""Small networks for the tests of transforms: each has random statistics and weights, negative and zero gamma too."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every norm statistics and weights that no fold can ignore, and every layer weights that are the same at
    every run. Returns the model in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        tensors = dict(module.named_buffers(recurse=False))
        if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
            _refill(module, generator)
        if "running_var" not in tensors:
            continue
        with torch.no_grad():
            tensors["running_mean"].normal_(generator=generator)
            tensors["running_var"].uniform_(0.3, 2.0, generator=generator)
            for name in ("weight", "bias"):
                tensor = getattr(module, name, None)
                if tensor is not None:
                    tensor.normal_(generator=generator)
            if getattr(module, "weight", None) is not None and len(module.weight) > 2:
                module.weight[0] = 0.0
    return model.eval()


def _refill(layer: nn.Module, generator: torch.Generator) -> None:
    for parameter in layer.parameters():
        if not is_lazy(parameter):
            nn.init.uniform_(parameter, -0.3, 0.3, generator=generator)


class Lambda(nn.Module):
    """Layers by keyword, and a forward that is given as a function of this module and the inputs."""

    def __init__(self, forward: Callable[..., object], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.run = forward

    def forward(self, *inputs: Tensor, **named: Tensor) -> object:
        return self.run(self, *inputs, **named)


def lambda_of(forward: Callable[..., object], **layers: nn.Module) -> nn.Module:
    """A randomised `Lambda`."""
    return randomise(Lambda(forward, **layers))


def chain(*layers: nn.Module) -> nn.Module:
    """A randomised nn.Sequential."""
    return randomise(nn.Sequential(*layers))


def conv(inputs: int = 4, outputs: int = 4, kernel: int = 3, **options: object) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, **options)  # type: ignore[arg-type]


def image(channels: int = 4, size: int = 6, batch: int = 2) -> Tensor:
    """A random batch of images in float64, the same every time."""
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def rows(features: int = 4, batch: int = 3) -> Tensor:
    return torch.randn(batch, features, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
