"""The words of torch.nn: layer kinds, their constructor signatures, and the roles they play.

A kind is the class name for torch.nn, `timm.Name` for timm.layers, `torchvision.Name` for torchvision.ops, and the
lower-case function name for functional calls and tensor methods (`relu`, `cat`, `batch_norm`).
Signatures are those of torch 2.13 and timm 1.0; `tests/test_vocabulary.py` holds them against the installed ones.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import cache

_CONV = (
    "{}, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True, "
    "padding_mode='zeros', device=None, dtype=None"
)
_TRANSPOSED = (
    "{}, kernel_size, stride=1, padding=0, output_padding=0, groups=1, bias=True, dilation=1, "
    "padding_mode='zeros', device=None, dtype=None"
)
_BATCH = "eps=1e-5, momentum=0.1, affine={0}, track_running_stats={0}, {1}device=None, dtype=None, *, bias=True"
_ACT = "apply_act=True, act_layer=..., act_kwargs=None, inplace=True, drop_layer=None"
_MAX_POOL = "kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False"
_AVG_POOL = "kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None"


def _ranks(stem: str, signature: str) -> dict[str, str]:
    return {f"{stem}{rank}d": signature for rank in (1, 2, 3)}


_SIGNATURES: dict[str, str] = {
    **_ranks("Conv", _CONV.format("in_channels, out_channels")),
    **_ranks("LazyConv", _CONV.format("out_channels")),
    **_ranks("ConvTranspose", _TRANSPOSED.format("in_channels, out_channels")),
    **_ranks("LazyConvTranspose", _TRANSPOSED.format("out_channels")),
    "Linear": "in_features, out_features, bias=True, device=None, dtype=None",
    "LazyLinear": "out_features, bias=True, device=None, dtype=None",
    "Bilinear": "in1_features, in2_features, out_features, bias=True, device=None, dtype=None",
    **_ranks("BatchNorm", "num_features, " + _BATCH.format(True, "")),
    **_ranks("LazyBatchNorm", _BATCH.format(True, "")),
    "SyncBatchNorm": "num_features, " + _BATCH.format(True, "process_group=None, "),
    **_ranks("InstanceNorm", "num_features, " + _BATCH.format(False, "")),
    **_ranks("LazyInstanceNorm", _BATCH.format(True, "")),
    "LayerNorm": "normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, device=None, dtype=None",
    "RMSNorm": "normalized_shape, eps=None, elementwise_affine=True, device=None, dtype=None",
    "GroupNorm": "num_groups, num_channels, eps=1e-5, affine=True, device=None, dtype=None, *, bias=True",
    "LocalResponseNorm": "size, alpha=1e-4, beta=0.75, k=1.0",
    "CrossMapLRN2d": "size, alpha=1e-4, beta=0.75, k=1",
    "torchvision.FrozenBatchNorm2d": "num_features, eps=1e-5",
    "timm.BatchNormAct2d": "num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True, "
    + _ACT
    + ", device=None, dtype=None",
    "timm.SyncBatchNormAct": "num_features, " + _BATCH.format(True, "process_group=None, "),
    "timm.FrozenBatchNormAct2d": "num_features, eps=1e-5, " + _ACT + ", device=None, dtype=None",
    "timm.GroupNorm": "num_channels, num_groups=32, eps=1e-5, affine=True, **kwargs",
    "timm.GroupNorm1": "num_channels, **kwargs",
    "timm.GroupNormAct": "num_channels, num_groups=32, eps=1e-5, affine=True, group_size=None, "
    + _ACT
    + ", device=None, dtype=None",
    "timm.GroupNorm1Act": "num_channels, eps=1e-5, affine=True, " + _ACT + ", device=None, dtype=None",
    "timm.LayerNorm": "num_channels, eps=1e-6, affine=True, **kwargs",
    "timm.LayerNorm2d": "num_channels, eps=1e-6, affine=True, **kwargs",
    "timm.LayerNormFp32": "num_channels, eps=1e-6, affine=True, **kwargs",
    "timm.LayerNorm2dFp32": "num_channels, eps=1e-6, affine=True, **kwargs",
    "timm.LayerNormAct": "normalization_shape, eps=1e-5, affine=True, " + _ACT + ", **kwargs",
    "timm.LayerNormAct2d": "num_channels, eps=1e-5, affine=True, " + _ACT + ", **kwargs",
    "timm.RmsNorm": "channels, eps=1e-6, affine=True, device=None, dtype=None",
    "timm.RmsNorm2d": "channels, eps=1e-6, affine=True, device=None, dtype=None",
    **{
        f"SwitchNorm{rank}d": "num_features, eps=1e-5, momentum=0.9, using_moving_average=True" + rest
        for rank, rest in ((1, ""), (2, ", using_bn=True, last_gamma=False"), (3, ", using_bn=True, last_gamma=False"))
    },
    "Dropout": "p=0.5, inplace=False",
    **_ranks("Dropout", "p=0.5, inplace=False"),
    "AlphaDropout": "p=0.5, inplace=False",
    "FeatureAlphaDropout": "p=0.5, inplace=False",
    "Identity": "*args, **kwargs",
    "Flatten": "start_dim=1, end_dim=-1",
    "Unflatten": "dim, unflattened_size",
    "Sequential": "*args",
    "ModuleList": "modules=None",
    "ModuleDict": "modules=None",
    "ReLU": "inplace=False",
    "ReLU6": "inplace=False",
    "LeakyReLU": "negative_slope=0.01, inplace=False",
    "PReLU": "num_parameters=1, init=0.25, device=None, dtype=None",
    "RReLU": "lower=0.125, upper=0.3333333333333333, inplace=False",
    "ELU": "alpha=1.0, inplace=False",
    "SELU": "inplace=False",
    "CELU": "alpha=1.0, inplace=False",
    "GELU": "approximate='none'",
    "SiLU": "inplace=False",
    "Mish": "inplace=False",
    "Sigmoid": "*args, **kwargs",
    "Tanh": "*args, **kwargs",
    "Softplus": "beta=1.0, threshold=20.0",
    "Softsign": "*args, **kwargs",
    "Hardtanh": "min_val=-1.0, max_val=1.0, inplace=False, min_value=None, max_value=None",
    "Hardswish": "inplace=False",
    "Hardsigmoid": "inplace=False",
    "LogSigmoid": "*args, **kwargs",
    "Threshold": "threshold, value, inplace=False",
    "Hardshrink": "lambd=0.5",
    "Softshrink": "lambd=0.5",
    "Tanhshrink": "*args, **kwargs",
    "GLU": "dim=-1",
    "Softmax": "dim=None",
    "LogSoftmax": "dim=None",
    "Softmin": "dim=None",
    "Softmax2d": "*args, **kwargs",
    **_ranks("MaxPool", _MAX_POOL),
    "AvgPool1d": _AVG_POOL.removesuffix(", divisor_override=None"),
    "AvgPool2d": _AVG_POOL,
    "AvgPool3d": _AVG_POOL,
    **_ranks("AdaptiveAvgPool", "output_size"),
    **_ranks("AdaptiveMaxPool", "output_size, return_indices=False"),
    "LPPool1d": "norm_type, kernel_size, stride=None, ceil_mode=False",
    "LPPool2d": "norm_type, kernel_size, stride=None, ceil_mode=False",
    **_ranks("ZeroPad", "padding"),
    **_ranks("ReflectionPad", "padding"),
    **_ranks("ReplicationPad", "padding"),
    **_ranks("CircularPad", "padding"),
    **_ranks("ConstantPad", "padding, value"),
    "Upsample": "size=None, scale_factor=None, mode='nearest', align_corners=None, recompute_scale_factor=None",
    "UpsamplingNearest2d": "size=None, scale_factor=None",
    "UpsamplingBilinear2d": "size=None, scale_factor=None",
    "PixelShuffle": "upscale_factor",
    "PixelUnshuffle": "downscale_factor",
    "ChannelShuffle": "groups",
    "Unfold": "kernel_size, dilation=1, padding=0, stride=1",
    "Fold": "output_size, kernel_size, dilation=1, padding=0, stride=1",
    "Embedding": "num_embeddings, embedding_dim, padding_idx=None, max_norm=None, norm_type=2.0, "
    "scale_grad_by_freq=False, sparse=False, _weight=None, _freeze=False, device=None, dtype=None",
    "RNN": "input_size, hidden_size, num_layers=1, nonlinearity='tanh', bias=True, batch_first=False, dropout=0.0, "
    "bidirectional=False, device=None, dtype=None",
    "LSTM": "input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0, bidirectional=False, "
    "proj_size=0, device=None, dtype=None",
    "GRU": "input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0, bidirectional=False, "
    "device=None, dtype=None",
    "MultiheadAttention": "embed_dim, num_heads, dropout=0.0, bias=True, add_bias_kv=False, add_zero_attn=False, "
    "kdim=None, vdim=None, batch_first=False, device=None, dtype=None",
    "batch_norm": "input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5",
    "layer_norm": "input, normalized_shape, weight=None, bias=None, eps=1e-5",
    "rms_norm": "input, normalized_shape, weight=None, eps=None",
    "instance_norm": "input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, "
    "momentum=0.1, eps=1e-5",
    "group_norm": "input, num_groups, weight=None, bias=None, eps=1e-5",
    "local_response_norm": "input, size, alpha=1e-4, beta=0.75, k=1.0",
    "dropout": "input, p=0.5, training=True, inplace=False",
}

CONVOLUTIONS = frozenset(
    kind for kind in _SIGNATURES if kind.startswith(("Conv", "LazyConv")) and "Transpose" not in kind
)
TRANSPOSED_CONVOLUTIONS = frozenset(kind for kind in _SIGNATURES if "ConvTranspose" in kind)
LINEAR = frozenset({"Linear", "LazyLinear"})
PRODUCERS = CONVOLUTIONS | TRANSPOSED_CONVOLUTIONS | LINEAR
"""Layers that end in `+ bias`, one per output channel."""

DROPOUTS = frozenset(kind for kind in _SIGNATURES if "Dropout" in kind) | {
    "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout",
}  # fmt: skip
ACTIVATIONS = frozenset(
    """
    ReLU ReLU6 LeakyReLU PReLU RReLU ELU SELU CELU GELU SiLU Mish Sigmoid Tanh Softplus Softsign Hardtanh Hardswish
    Hardsigmoid LogSigmoid Threshold Hardshrink Softshrink Tanhshrink GLU Softmax LogSoftmax Softmin Softmax2d
    relu relu6 leaky_relu prelu rrelu elu selu celu gelu silu mish sigmoid tanh softplus softsign hardtanh hardswish
    hardsigmoid logsigmoid threshold hardshrink softshrink tanhshrink glu softmax log_softmax softmin
    """.split()
)
POOLS = frozenset(kind for kind in _SIGNATURES if "Pool" in kind) | {
    "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
}  # fmt: skip
RESHAPES = frozenset(
    {"Flatten", "Unflatten", "flatten", "unflatten", "view", "reshape", "permute", "transpose", "squeeze", "unsqueeze"}
)
IDENTITIES = frozenset({"Identity", "contiguous", "clone", "detach"})
"""Calls that hand on the values they read."""
CONTAINERS = frozenset({"Sequential", "ModuleList", "ModuleDict"})
PSEUDO_KINDS = frozenset({"input", "constant", "either", "getitem", "unknown"})
"""Calls that are no operation: a model input, a stored tensor, a join of branches, one of several results."""

_ALIASES = {"truediv": "div", "iadd": "add", "concat": "cat", "concatenate": "cat", "swapaxes": "transpose"}


def canonical(name: str) -> str:
    """One word for an operation that torch spells in several ways: `add_` is `add`, `concat` is `cat`."""
    plain = name.strip("_") if name.startswith("__") else name.removesuffix("_")
    return _ALIASES.get(plain, plain)


def is_known(kind: str) -> bool:
    """Has this kind a signature here."""
    return kind in _SIGNATURES


def kinds() -> frozenset[str]:
    """Every kind that has a signature."""
    return frozenset(_SIGNATURES)


@cache
def signature(kind: str) -> Mapping[str, object]:
    """Parameter names and defaults in order, `...` for none; `*args`, `**kwargs` keep their stars; `*` ends the
    positional ones. Raises KeyError for a kind that is not known."""
    tree = ast.parse(f"lambda {_SIGNATURES[kind]}: 0", mode="eval").body
    assert isinstance(tree, ast.Lambda)
    arguments = tree.args
    names = [argument.arg for argument in arguments.args]
    missing = len(names) - len(arguments.defaults)
    defaults = [...] * missing + [ast.literal_eval(default) for default in arguments.defaults]
    parameters: dict[str, object] = dict(zip(names, defaults, strict=True))
    if arguments.vararg:
        parameters["*" + arguments.vararg.arg] = ...
    elif arguments.kwonlyargs:
        parameters["*"] = ...
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parameters[argument.arg] = ast.literal_eval(default) if default is not None else ...
    if arguments.kwarg:
        parameters["**" + arguments.kwarg.arg] = ...
    return parameters


@cache
def positional(kind: str) -> Sequence[str]:
    """Names of the parameters that may be passed by position, in order."""
    names: list[str] = []
    for name in signature(kind):
        if name.startswith("*"):
            break
        names.append(name)
    return tuple(names)


def default(kind: str, name: str) -> object:
    """The default of a parameter, `...` where it has none or the kind has no such parameter."""
    return signature(kind).get(name, ...) if kind in _SIGNATURES else ...
