"""NF202 feature-mismatch: a norm built for another number of channels than what feeds it makes."""

from collections.abc import Iterator

from normfix import norms
from normfix.checks._flow import ELEMENTWISE
from normfix.checks._written import surely_differ
from normfix.engine import Facts, Rule, on_call
from normfix.findings import Problem, Severity
from normfix.graph import Call, Layer, Undecided
from normfix.vocabulary import CONVOLUTIONS, POOLS, TRANSPOSED_CONVOLUTIONS

RULE = Rule("NF202", "feature-mismatch", Severity.ERROR, readers={"source", "model"})
CONV = CONVOLUTIONS | TRANSPOSED_CONVOLUTIONS
COUNTING = (norms.BATCH | norms.INSTANCE | norms.GROUP | norms.FROZEN | norms.SWITCH | norms.CHANNEL_LAYER) - {
    "batch_norm",
    "instance_norm",
    "group_norm",
}
KEEPING = ELEMENTWISE | POOLS | {"BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "GroupNorm"}
"""Calls after which axis 1 is as long as before."""


@on_call(RULE, COUNTING)
def feature_mismatch(call: Call, facts: Facts) -> Iterator[Problem]:
    """With parameters or buffers the first batch raises; without, the numbers are never looked at."""
    if call.kind.startswith("Lazy"):
        return
    expected, given, maker = _counted(call, facts)
    if given is None or given == expected:
        return
    silent = _holds_nothing(call.layer)
    yield Problem(
        call.layer.site,
        f"`{call.layer.name}` was built for {expected} channels, but {maker} has {given}"
        + (": it runs, because it holds no parameters" if silent else ""),
        help=f"Build it for {given} channels",
    )


def _counted(call: Call, facts: Facts) -> tuple[int | str, int | str | None, str]:
    """The channels that a norm is built for, those that it is given, and by what. Raises `Undecided`."""
    shape = call.inputs[0].shape if call.inputs and isinstance(call.inputs[0], Call) else None
    try:
        expected = norms.channels(call.layer)
    except Undecided:
        written = _written(call, facts)
        if written is None:
            raise
        return written
    if isinstance(shape, tuple):
        return expected, shape[_axis(call.kind, len(shape))], "its input"
    maker = _maker(call)
    return expected, maker.integer("out_channels") if maker else None, f"`{maker.name}`" if maker else ""


def _written(call: Call, facts: Facts) -> tuple[str, str, str] | None:
    """The same as it is written, where the two cannot be equal whatever the names stand for."""
    try:
        maker = _maker(call)
        name = next((one for one in ("num_features", "num_channels") if one in call.layer.arguments), "channels")
        texts = surely_differ(maker, "out_channels", call.layer, name, facts) if maker is not None else None
    except Undecided:
        return None
    return (f"`{texts[1]}`", f"`{texts[0]}`", f"`{maker.name}`") if texts and maker else None


def _axis(kind: str, rank: int) -> int:
    """Axis 1; axis 0 where an instance norm takes unbatched input."""
    unbatched = {"InstanceNorm1d": 2, "InstanceNorm2d": 3, "InstanceNorm3d": 4}
    return 0 if unbatched.get(kind) == rank else 1


def _maker(call: Call) -> Layer | None:
    """The convolution upstream that makes the channels; None where another layer does. Raises `Undecided`.

    The rank of what a linear layer makes is not known: (N, L, C) goes into a norm of L features.
    """
    maker = call.producer()
    while maker.kind in KEEPING:
        maker = maker.producer()
    return maker.layer if maker.kind in CONV else None


def _holds_nothing(layer: Layer) -> bool:
    affine = layer.kind in norms.FROZEN | norms.SWITCH or layer.flag("affine")
    return not affine and (layer.kind not in norms.TRACKING or not layer.flag("track_running_stats"))
