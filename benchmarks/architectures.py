"""Real architectures, built without downloads: the smallest model of every timm module with batch norm, and
well-known networks of transformers and monai from small configurations.

Each entry is a name and a function that returns the model (in train mode) and its example inputs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from fold_zoo import TIMM
from torch import nn

Built = tuple[nn.Module, Any]
Builder = Callable[[], Built]


def all_architectures() -> Iterator[tuple[str, Builder]]:
    """Every architecture that this machine's packages hold."""
    yield from monai_networks()
    yield from transformers_networks()
    yield from timm_networks()


def timm_networks() -> Iterator[tuple[str, Builder]]:
    """The smallest model of every timm module that builds batch norms."""
    for module, name in TIMM.items():
        yield f"timm {module}: {name}", lambda name=name: _timm(name)


def _timm(name: str) -> Built:
    import timm

    model = timm.create_model(name)
    size = model.default_cfg.get("test_input_size") or model.default_cfg["input_size"]
    return model, (torch.randn(2, *model.default_cfg.get("input_size", size)),)


def transformers_networks() -> Iterator[tuple[str, Builder]]:
    """Vision and language networks from small configurations."""
    for name, settings in _TRANSFORMERS.items():
        yield f"transformers {name}", lambda name=name, settings=settings: _transformers(name, settings)


_IMAGE: Mapping[str, Any] = {"image_size": 64, "num_labels": 5}
_TOKENS: Mapping[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
}
_TRANSFORMERS: Mapping[str, Mapping[str, Any]] = {
    "ResNetForImageClassification": {"embedding_size": 16, "hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 2, 1]},
    "MobileNetV2ForImageClassification": {**_IMAGE, "depth_multiplier": 0.35},
    "RegNetForImageClassification": {"embedding_size": 16, "hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 2, 1]},
    "EfficientNetForImageClassification": {
        **_IMAGE, "width_coefficient": 0.5, "depth_coefficient": 0.5, "hidden_dim": 640,
    },
    "LevitForImageClassification": {"image_size": 224},
    "ConvNextForImageClassification": {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 2, 1]},
    "SwinForImageClassification": {
        "image_size": 64, "patch_size": 2, "embed_dim": 16, "depths": [1, 2], "num_heads": [2, 4], "window_size": 2,
    },
    "ViTForImageClassification": {**_IMAGE, **_TOKENS, "patch_size": 16},
    "BertModel": _TOKENS,
    "LlamaForCausalLM": {**_TOKENS, "num_key_value_heads": 2},
}  # fmt: skip


def _transformers(name: str, settings: Mapping[str, Any]) -> Built:
    import transformers

    cls = getattr(transformers, name)
    own = set(inspect.signature(cls.config_class.__init__).parameters) | set(vars(cls.config_class))
    model = cls(
        cls.config_class(**{key: value for key, value in settings.items() if key != "vocab_size" or key in own})
    )
    if "vocab_size" in settings and "image_size" not in settings:
        return model, {"input_ids": torch.randint(0, 99, (2, 7)), "use_cache": False} if "Llama" in name else {
            "input_ids": torch.randint(0, 99, (2, 7))
        }
    size = getattr(model.config, "image_size", 64)
    return model, (torch.randn(2, 3, size, size),)


def monai_networks() -> Iterator[tuple[str, Builder]]:
    """Medical networks: two and three dimensions, batch, instance and group norms."""
    from monai.networks import nets

    image, volume = (torch.randn(2, 1, 64, 64),), (torch.randn(2, 1, 32, 32, 32),)
    yield "monai UNet 2d batch", lambda: (nets.UNet(2, 1, 2, (8, 16, 32), (2, 2), norm="BATCH", num_res_units=2), image)
    yield "monai UNet 3d instance", lambda: (nets.UNet(3, 1, 2, (8, 16, 32), (2, 2), num_res_units=2), volume)
    yield "monai DenseNet121 2d", lambda: (nets.DenseNet121(2, 1, 3), image)
    yield "monai SegResNet 3d group", lambda: (nets.SegResNet(3, 8, 1, 2), volume)
    yield "monai SegResNet 2d batch", lambda: (nets.SegResNet(2, 8, 1, 2, norm="BATCH"), image)
