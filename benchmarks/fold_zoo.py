"""Architectures for the benchmarks, built without downloads, with statistics and weights that no fold can ignore."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import timm_shim  # noqa: F401  # timm imports torchvision, whose compiled operators may be missing
import torch
from torch import nn

Build = Callable[[], tuple[nn.Module, tuple[torch.Tensor, ...]]]

TIMM = {
    "byoanet": "halonet_h1",
    "byobnet": "test_byobnet",
    "convmixer": "convmixer_768_32",
    "cpubone": "cpubone_nano",
    "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny",
    "densenet": "densenet121",
    "dla": "dla46x_c",
    "dpn": "dpn48b",
    "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "test_efficientnet",
    "efficientvim": "efficientvim_m1",
    "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_t8",
    "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_b",
    "hgnet": "hgnetv2_b0",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_t",
    "inception_next": "inception_next_atto",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small",
    "levit": "levit_128s",
    "lowformer": "lowformer_b0",
    "maxxvit": "test_coatnet",
    "mobilenetv3": "mobilenetv3_small_050",
    "mobilevit": "mobilevit_xxs",
    "nasnet": "nasnetalarge",
    "nextvit": "nextvit_small",
    "pnasnet": "pnasnet5large",
    "regnet": "regnetx_002",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m1",
    "res2net": "res2next50",
    "resnest": "resnest14d",
    "resnet": "test_resnet",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "selecsls": "selecsls42",
    "senet": "legacy_seresnet18",
    "shvit": "shvit_s1",
    "sknet": "skresnet18",
    "starnet": "starnet_s050",
    "swiftformer": "swiftformer_xs",
    "tiny_vit": "tiny_vit_5m_224",
    "tresnet": "tresnet_m",
    "vgg": "vgg11_bn",
    "visformer": "visformer_tiny",
    "vision_transformer_hybrid": "vit_small_resnet50d_s16_224",
    "volo": "volo_d1_224",
    "vovnet": "ese_vovnet19b_slim_dw",
    "xception": "legacy_xception",
    "xception_aligned": "xception41",
    "xcit": "xcit_nano_12_p16_224",
}
"""The smallest model of every module of timm 1.0.31 that builds batch norms, itself or through another module."""


def zoo() -> Iterator[tuple[str, Build]]:
    """A dozen architectures of transformers and monai, by name."""
    import transformers as hf
    from monai.networks import nets

    stages = {"embedding_size": 8, "hidden_sizes": [8, 16, 32, 64], "depths": [1, 1, 1, 1]}
    levit = hf.LevitConfig(
        image_size=64, hidden_sizes=[16, 32, 48], num_attention_heads=[2, 4, 4], depths=[1, 1, 1], key_dim=[8, 8, 8]
    )
    efficient = hf.EfficientNetConfig(width_coefficient=0.25, depth_coefficient=0.3, hidden_dim=320)
    yield "transformers ResNet", lambda: (hf.ResNetModel(hf.ResNetConfig(**stages)), _image(3, 64))
    yield "transformers RegNet", lambda: (hf.RegNetModel(hf.RegNetConfig(groups_width=8, **stages)), _image(3, 64))
    yield (
        "transformers MobileNetV1",
        lambda: (
            hf.MobileNetV1Model(hf.MobileNetV1Config(depth_multiplier=0.25)),
            _image(3, 64),
        ),
    )
    yield (
        "transformers MobileNetV2",
        lambda: (
            hf.MobileNetV2Model(hf.MobileNetV2Config(depth_multiplier=0.25)),
            _image(3, 64),
        ),
    )
    yield "transformers EfficientNet", lambda: (hf.EfficientNetModel(efficient), _image(3, 64))
    yield "transformers LeViT", lambda: (hf.LevitModel(levit), _image(3, 64))
    yield "monai UNet", lambda: (nets.UNet(2, 1, 2, (4, 8, 16), (2, 2), norm="batch"), _image(1, 32))
    yield (
        "monai UNet residual",
        lambda: (
            nets.UNet(2, 1, 2, (4, 8, 16), (2, 2), num_res_units=2, norm="batch"),
            _image(1, 32),
        ),
    )
    yield "monai DenseNet121", lambda: (nets.DenseNet121(2, 1, 2), _image(1, 64))
    yield "monai SegResNet", lambda: (nets.SegResNet(2, 8, 1, 2, norm="batch"), _image(1, 32))
    yield "monai SEResNet50", lambda: (nets.SEResNet50(spatial_dims=2, in_channels=1, num_classes=2), _image(1, 64))
    yield "monai VNet", lambda: (nets.VNet(spatial_dims=3, in_channels=1, out_channels=2), (_noise(1, 1, 32, 32, 32),))


def timm_zoo() -> Iterator[tuple[str, Build]]:
    """One model for each timm module that holds a batch norm."""
    import timm

    for module, name in TIMM.items():

        def build(name: str = name) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
            model = timm.create_model(name, pretrained=False)
            return model, _fitting(model)

        yield f"timm {module}", build


def randomise(model: nn.Module) -> nn.Module:
    """Random running statistics and affine weights, in a range that keeps deep networks finite. Returns eval mode."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        buffers = dict(module.named_buffers(recurse=False))
        if "running_var" not in buffers or buffers["running_var"] is None:
            continue
        with torch.no_grad():
            buffers["running_mean"].normal_(0, 0.1, generator=generator)
            buffers["running_var"].uniform_(0.5, 2, generator=generator)
            if module.weight is not None:
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
    return model.eval()


def _fitting(model: nn.Module) -> tuple[torch.Tensor, ...]:
    """A small image where the model takes one, else one of the size that it was made for."""
    full = _noise(1, *model.default_cfg.get("input_size", (3, 224, 224)))
    small = full[..., :96, :96].contiguous()
    try:
        with torch.no_grad():
            copy.deepcopy(model).eval()(small)
    except Exception:  # whatever a model raises at a size that it was not made for
        return (full,)
    return (small,)


def _image(channels: int, size: int) -> tuple[torch.Tensor, ...]:
    return (_noise(1, channels, size, size),)


def _noise(*sizes: int) -> torch.Tensor:
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(0))
