"""NF203 single-element-statistic: a mean and a variance of one number, which leave nothing of it."""

from collections.abc import Iterator

from normfix import norms
from normfix.checks._flow import normalises_weights, origin_of_channels, same, twins
from normfix.checks._modes import elements, planned, takes_statistics
from normfix.checks._single_samples import sees_to_single_samples
from normfix.engine import Facts, Rule, on_call, on_layer
from normfix.findings import Problem, Severity
from normfix.graph import Call, Layer, Undecided
from normfix.vocabulary import CONVOLUTIONS, LINEAR

RULE = Rule("NF203", "single-element-statistic", Severity.ERROR, readers={"source", "model", "onnx"})
TRAILING = norms.LAYER | norms.RMS
CHANNELS = norms.CHANNEL_LAYER | norms.CHANNEL_RMS
COUNTED = norms.NORMS - norms.LOCAL_RESPONSE
GLOBAL_POOLS = frozenset(f"Adaptive{how}Pool{rank}d" for how in ("Avg", "Max") for rank in (1, 2, 3)) | frozenset(
    f"adaptive_{how}_pool{rank}d" for how in ("avg", "max") for rank in (1, 2, 3)
)
ONE = (1, (1,), (1, 1), (1, 1, 1))
RAISING = norms.BATCH | norms.INSTANCE
"""torch refuses to compute these; a group norm of a batch, and a layer norm, it computes."""


@on_call(RULE, COUNTED)
def single_element(call: Call, facts: Facts) -> Iterator[Problem]:
    """m = 1: (x - x) / sqrt(0 + eps) = 0, so only the shift is left; an RMS norm leaves the sign."""
    if not takes_statistics(call.layer, facts) or _is_built_for_one(call.layer) or normalises_weights(call):
        return
    if min(elements(call, facts), default=0) != 1:
        return
    yield Problem(
        call.layer.site,
        f"`{call.layer.name}` takes each statistic over one element of {planned(call.input_shape(), facts)}: "
        f"{_consequence(call.layer, facts)}",
        help=_help(call.layer),
    )


@on_call(RULE, norms.BATCH | norms.INSTANCE | norms.GROUP)
def pooled_to_one(call: Call, facts: Facts) -> Iterator[Problem]:
    """Global pooling, then perhaps a convolution, then a norm: known from the constructors.

    Batch norm has the samples of the batch left, and raises when there is only one.
    """
    if facts.reader != "source" or not takes_statistics(call.layer, facts) or not _is_one_position(call):
        return
    if call.kind in norms.GROUP and norms.groups(call.layer) != norms.channels(call.layer):
        return
    has_batch = call.kind in norms.BATCH
    if has_batch and not all(
        _is_one_position(other) for twin, graph in twins(call.layer, facts) for other in graph.calls_of(twin)
    ):
        # A block for convolutions of all sizes, of which this network builds one behind a pooling.
        return
    if has_batch and facts.script is not None and sees_to_single_samples(call.layer, facts.script):
        return
    yield Problem(
        call.layer.site,
        f"`{call.layer.name}` takes its statistics over one position"
        + (" a sample: torch raises when the batch holds one" if has_batch else f": {_consequence(call.layer, facts)}"),
        help=_help(call.layer),
        severity=Severity.INFO if has_batch else Severity.ERROR,
    )


def _is_one_position(call: Call) -> bool:
    """Does the norm read what a global pooling left, or the row of a linear layer. Raises `Undecided`."""
    maker = origin_of_channels(call.producer())
    if maker.kind in LINEAR:
        # A linear layer's output (N, L, C) would need L = C to fit the norm.
        return call.kind in norms.GROUP and same(maker.layer, "out_features", call.layer, "num_channels")
    while maker.kind in CONVOLUTIONS and _is_pointwise(maker.layer):
        maker = origin_of_channels(maker.producer())
    if maker.kind == "mean":
        return _is_mean_of_positions(maker.layer, call.kind)
    size = maker.layer.arguments.get("output_size") if maker.kind in GLOBAL_POOLS else None
    return size is not None and (tuple(size.value) if isinstance(size.value, list) else size.value) in ONE


def _is_mean_of_positions(mean: Layer, kind: str) -> bool:
    """Is this `x.mean((2, 3), keepdim=True)` before a norm of images, and so for other ranks."""
    rank = int(kind[-2]) if kind.endswith(("1d", "2d", "3d")) else 0
    given = {name: mean.arguments[name].value for name in ("dim", "keepdim") if name in mean.arguments}
    axes = given.get("dim")
    axes = {axes} if isinstance(axes, int) else set(axes) if isinstance(axes, (list, tuple)) else set()
    last = [set(range(2, 2 + rank)), set(range(-rank, 0))]
    return rank > 0 and given.get("keepdim") is True and axes in last


def _is_pointwise(layer: Layer) -> bool:
    return layer.value("kernel_size") in ONE and layer.value("padding") in (0, "valid")


@on_layer(RULE, TRAILING | CHANNELS)
def one_wide(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """LayerNorm(1), RMSNorm(1): known from the constructor."""
    if _is_built_for_one(layer):
        yield Problem(
            layer.site,
            f"`{layer.name}` normalises a single element: {_consequence(layer, facts)}",
            help="Leave the norm out, or normalise over an axis that has more elements",
        )


def _is_built_for_one(layer: Layer) -> bool:
    try:
        if layer.kind in TRAILING:
            return set(norms.normalized_shape(layer)) == {1}
        return layer.kind in CHANNELS and norms.channels(layer) == 1
    except Undecided:
        return False


def _consequence(layer: Layer, facts: Facts) -> str:
    if layer.kind in RAISING and facts.reader != "onnx":
        return "torch raises in training" if layer.kind in norms.BATCH else "torch raises"
    if layer.kind in norms.RMS or layer.kind in norms.CHANNEL_RMS:
        return "only its sign is left"
    return "the output is NaN" if layer.kind in norms.SWITCH else "the output is constant, whatever the input"


def _help(layer: Layer) -> str:
    if layer.kind in norms.BATCH:
        return "Train with a larger batch and `drop_last=True`, or leave the norm out after global pooling"
    return "Leave the norm out here, use fewer groups, or put it before the pooling"
