"""NF206 resolution-locked-norm: a layer norm over positions, which fixes the size of the input."""

from collections.abc import Iterator
from math import prod

from normfix import norms
from normfix.checks._flow import origin_of_channels
from normfix.engine import Facts, Rule, on_call
from normfix.findings import Problem, Severity
from normfix.graph import Call, Undecided
from normfix.vocabulary import CONVOLUTIONS, TRANSPOSED_CONVOLUTIONS

RULE = Rule("NF206", "resolution-locked-norm", Severity.INFO, readers={"source", "model", "onnx"})
CONV = CONVOLUTIONS | TRANSPOSED_CONVOLUTIONS


@on_call(RULE, (norms.LAYER | norms.RMS) - {"layer_norm", "rms_norm"})
def resolution_locked_norm(call: Call, facts: Facts) -> Iterator[Problem]:
    """LayerNorm([C, H, W]) holds C * H * W scales and shifts, and raises at any other resolution."""
    sizes = norms.normalized_shape(call.layer)
    maker = _convolution(call)
    if maker is None or not 2 <= len(sizes) <= int(maker.kind[-2]) + 1:
        return
    positions = sizes if len(sizes) <= int(maker.kind[-2]) else sizes[1:]
    if prod(positions) == 1:
        return
    shown = " x ".join(map(str, positions))
    yield Problem(
        call.layer.site,
        f"`{call.layer.name}` normalises {list(sizes)} after `{maker.layer.name}`: it raises for any input that does "
        f"not come out as {shown} there",
        help="Use `GroupNorm(1, channels)`, which takes any size and holds a scale and a shift per channel",
    )


def _convolution(call: Call) -> Call | None:
    try:
        maker = origin_of_channels(call.producer())
    except Undecided:
        return None
    return maker if maker.kind in CONV else None
