"""NF202 feature-mismatch: a norm built for another number of channels than what feeds it makes."""

from collections.abc import Iterator

from normfix import norms
from normfix.checks._flow import ELEMENTWISE
from normfix.engine import Facts, Rule, on_call
from normfix.findings import Problem, Severity
from normfix.graph import Call, Layer
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
    shape = call.inputs[0].shape if call.inputs and isinstance(call.inputs[0], Call) else None
    if call.kind.startswith("Lazy"):
        return
    expected = norms.channels(call.layer)
    given, maker = (shape[_axis(call.kind, len(shape))], "") if isinstance(shape, tuple) else _made(call)
    if given is None or given == expected:
        return
    silent = _holds_nothing(call.layer)
    yield Problem(
        call.layer.site,
        f"`{call.layer.name}` was built for {expected} channels, but {maker or 'its input'} has {given}"
        + (": it runs, because it holds no parameters" if silent else ""),
        help=f"Build it for {given} channels",
    )


def _axis(kind: str, rank: int) -> int:
    """Axis 1; axis 0 where an instance norm takes unbatched input."""
    unbatched = {"InstanceNorm1d": 2, "InstanceNorm2d": 3, "InstanceNorm3d": 4}
    return 0 if unbatched.get(kind) == rank else 1


def _made(call: Call) -> tuple[int | None, str]:
    """The channels that a convolution upstream makes, and what to call them. Raises `Undecided`."""
    maker = call.producer()
    while maker.kind in KEEPING:
        maker = maker.producer()
    if maker.kind not in CONV:
        # The rank of what a linear layer makes is not known: (N, L, C) goes into a norm of L features.
        return None, ""
    return maker.layer.integer("out_channels"), f"`{maker.layer.name}`"


def _holds_nothing(layer: Layer) -> bool:
    affine = layer.kind in norms.FROZEN | norms.SWITCH or layer.flag("affine")
    return not affine and (layer.kind not in norms.TRACKING or not layer.flag("track_running_stats"))
