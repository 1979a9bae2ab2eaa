"""Networks that known libraries build by name, and which of them hold batch norms."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from normfix.lazy import pattern

WITH_BATCH_NORM = pattern(
    r"(se_?|legacy_se|gluon_|tf_|ecax?_|ig_|ssl_|swsl_|tv_|wide_|iresnet|i?)"
    r"(resnet|resnext|res2net|res2next|resnest|densenet|mobilenet|mnasnet|mixnet|shufflenet|googlenet|inception|xception"
    r"|efficientnet|regnet[xy]?_|ghostnet|hrnet|dla\d|dpn\d|rexnet|repvgg|hardcorenas|spnasnet|fbnet|lcnet|tinynet"
    r"|deeplabv3|fcn_resnet|lraspp|senet|skresn|cspresn|cspdarknet|darknet|selecsls|vovnet|nasnet|pnasnet|vgg\d+_bn)"
)
WITHOUT_BATCH_NORM = pattern(r"resnetv2|_gn$|_gn_|nf_|nfnet|_frn|_evo|resnet.*_bit|resnet.*_clip|resnet50x")
LIBRARIES = ("torchvision.models", "timm", "segmentation_models_pytorch", "pretrainedmodels", "efficientnet_pytorch")


def is_library_network(name: str, call: ast.Call) -> bool:
    """Is this a call that builds a network of a known library, in training mode."""
    return name.startswith(LIBRARIES) or (name == "torch.hub.load" and "vision" in _first_string(call))


def names_batch_norm(name: str, call: ast.Call) -> bool:
    """Does this call name, or is it given the name of, a network with batch norms, and no other norm in their place."""
    words = [name.rpartition(".")[2].lower(), *(text.lower().rpartition("/")[2] for text in _strings(call))]
    return any(WITH_BATCH_NORM.match(word) and not WITHOUT_BATCH_NORM.search(word) for word in words) and not any(
        one.arg == "norm_layer" for one in call.keywords
    )


def _strings(call: ast.Call) -> Iterator[str]:
    for value in (*call.args, *(one.value for one in call.keywords)):
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield value.value


def _first_string(call: ast.Call) -> str:
    return next(_strings(call), "")
