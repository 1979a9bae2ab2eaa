"""Which dotted names stand for layers and operations of the vocabulary."""

from __future__ import annotations

from functools import lru_cache

from normfix import vocabulary

_TIMM = ("timm.layers.", "timm.models.layers.")
_TORCHVISION = frozenset(f"torchvision.ops.{place}FrozenBatchNorm2d" for place in ("", "misc."))
_MODULE_CLASSES = frozenset({"torch.nn.Module", "torch.nn.modules.Module", "torch.nn.modules.module.Module"})
MODULE_BASES = frozenset(
    {"Module", "LightningModule", "PreTrainedModel", "ModelMixin", "PyTorchModelHubMixin", "ABC", "Generic", "Protocol"}
)
"""Last parts of the names of bases that define no forward and touch no layer of a subclass."""

OPERATORS = {
    "Add": "add", "Sub": "sub", "Mult": "mul", "Div": "div", "MatMult": "matmul", "Pow": "pow", "Mod": "remainder",
    "FloorDiv": "floor_divide", "BitAnd": "bitwise_and", "BitOr": "bitwise_or", "BitXor": "bitwise_xor",
    "LShift": "bitwise_left_shift", "RShift": "bitwise_right_shift", "USub": "neg", "UAdd": "clone",
    "Invert": "bitwise_not", "Eq": "eq", "NotEq": "ne", "Lt": "lt", "LtE": "le", "Gt": "gt", "GtE": "ge",
}  # fmt: skip
PARAMETERS = {
    "permute": "*dims", "view": "*shape", "reshape": "*shape", "expand": "*shape", "repeat": "*shape",
    "flatten": "start_dim end_dim", "unflatten": "dim sizes", "transpose": "dim0 dim1", "unsqueeze": "dim",
    "squeeze": "dim", "cat": "dim", "stack": "dim", "mean": "dim keepdim", "sum": "dim keepdim", "softmax": "dim",
    "log_softmax": "dim", "chunk": "chunks dim", "split": "split_size dim", "interpolate": "size scale_factor mode",
    "pad": "pad mode value", "max_pool1d": "kernel_size stride padding", "max_pool2d": "kernel_size stride padding",
    "max_pool3d": "kernel_size stride padding", "avg_pool1d": "kernel_size stride padding ceil_mode count_include_pad",
    "avg_pool2d": "kernel_size stride padding ceil_mode count_include_pad",
    "avg_pool3d": "kernel_size stride padding ceil_mode count_include_pad",
    "adaptive_avg_pool1d": "output_size", "adaptive_avg_pool2d": "output_size", "adaptive_avg_pool3d": "output_size",
    "leaky_relu": "negative_slope inplace", "pow": "exponent", "add": "other", "mul": "other", "matmul": "other",
}  # fmt: skip
"""Parameters of operations that have no signature in the vocabulary, the tensors left out."""
SEVERAL = frozenset(
    """LSTM GRU RNN MultiheadAttention chunk split unbind tensor_split max min topk sort std_mean var_mean
    max_pool1d max_pool2d max_pool3d MaxPool1d MaxPool2d MaxPool3d""".split()
)
"""Calls that may give several tensors, so that a subscript picks one of them."""
METADATA = frozenset(
    """shape dtype device ndim layout requires_grad is_cuda is_leaf grad_fn itemsize nbytes names is_sparse
    is_quantized is_mps is_cpu is_meta is_nested is_complex""".split()
)
"""Attributes of a tensor that do not read its elements."""
QUESTIONS = frozenset(
    """size dim numel stride type element_size nelement is_contiguous is_floating_point is_complex get_device
    ndimension data_ptr storage_offset requires_grad_ retain_grad register_hook""".split()
)
"""Methods of a tensor that do not read its elements."""
CONVENIENT = frozenset(
    """to cuda cpu train eval half float double bfloat16 type requires_grad_ apply share_memory to_empty xpu
    zero_grad compile""".split()
)
"""Methods of a module that give the module itself (or nothing), and call no layer."""
INNOCENT = (
    frozenset(
        """weight named_parameters parameters named_buffers buffers state_dict load_state_dict
    in_channels out_channels in_features out_features num_features kernel_size stride padding dilation groups eps
    momentum running_mean running_var num_batches_tracked normalized_shape training named_modules modules
    named_children children extra_repr set_grad_checkpointing gradient_checkpointing device dtype""".split()
    )
    | CONVENIENT
)
"""Attributes of a layer that can be read without using the layer or its bias."""
TRANSPARENT = frozenset(
    {
        "torch.nn.DataParallel", "torch.nn.parallel.DataParallel", "torch.nn.parallel.DistributedDataParallel",
        "torch.compile", "torch.jit.script", "torch.nn.SyncBatchNorm.convert_sync_batchnorm", "copy.copy",
    }
)  # fmt: skip
"""Functions of a module that give a module which computes the same."""
REPARAMETRIZATIONS = {
    f"torch.nn.utils.{place}{name}": name
    for place in ("", "parametrizations.")
    for name in ("spectral_norm", "weight_norm")
}


@lru_cache(maxsize=4096)
def constructed(dotted: str) -> str | None:
    """The kind of layer that calling this name constructs; None where it constructs none that is known."""
    if dotted.startswith("torch.nn."):
        last = dotted.rpartition(".")[2]
        if not last[:1].isupper() or dotted.startswith("torch.nn.utils.") or last.startswith("SwitchNorm"):
            return None
        return last if vocabulary.is_known(last) else None
    if dotted.startswith(_TIMM):
        last = "timm." + dotted.rpartition(".")[2]
        return last if vocabulary.is_known(last) else None
    if dotted in _TORCHVISION:
        return "torchvision.FrozenBatchNorm2d"
    last = dotted.rpartition(".")[2]
    # The reference implementation is not on the package index: it is copied, under its own name.
    return last if last in ("SwitchNorm1d", "SwitchNorm2d", "SwitchNorm3d") and last != dotted else None


@lru_cache(maxsize=4096)
def operation(dotted: str) -> str | None:
    """The operation that calling this name performs on tensors; None where it is no function of torch."""
    head, _, last = dotted.rpartition(".")
    if head in ("torch.nn.functional", "torch", "torch.special", "torch._C._nn") and last[:1].islower():
        return vocabulary.canonical(last)
    if head in ("einops", "operator") or dotted in ("torchvision.ops.stochastic_depth",):
        return vocabulary.canonical(last)
    return None


def is_module_base(dotted: str) -> bool | None:
    """Is this base class known to add nothing but what nn.Module has; None for a base that may do anything."""
    last = dotted.rpartition(".")[2]
    if dotted in _MODULE_CLASSES or last.endswith("Module") or last in MODULE_BASES:
        return True
    if last.endswith(("PreTrainedModel", "Mixin")):
        return True
    return False if dotted in ("builtins.object", "object") else None
