"""NF206 resolution-locked-norm: a layer norm over positions, which fixes the size of the input."""

import ast
from collections.abc import Iterator, Sequence

from normfix import norms
from normfix.checks._flow import origin_of_channels
from normfix.engine import Facts, Rule, on_call
from normfix.findings import Problem, Severity
from normfix.graph import Call, Layer, Undecided
from normfix.script import expression
from normfix.vocabulary import CONVOLUTIONS, TRANSPOSED_CONVOLUTIONS

RULE = Rule("NF206", "resolution-locked-norm", Severity.INFO, readers={"source", "model", "onnx"})
CONV = CONVOLUTIONS | TRANSPOSED_CONVOLUTIONS


@on_call(RULE, (norms.LAYER | norms.RMS) - {"layer_norm", "rms_norm"})
def resolution_locked_norm(call: Call, facts: Facts) -> Iterator[Problem]:
    """LayerNorm([C, H, W]) holds C * H * W scales and shifts, and raises at any other resolution."""
    sizes = _sizes(call.layer)
    maker = _convolution(call)
    if maker is None or not 2 <= len(sizes) <= int(maker.kind[-2]) + 1:
        return
    positions = sizes if len(sizes) <= int(maker.kind[-2]) else sizes[1:]
    if all(one == 1 for one in positions):
        return
    shown, listed = " x ".join(map(str, positions)), ", ".join(map(str, sizes))
    yield Problem(
        call.layer.site,
        f"`{call.layer.name}` normalises [{listed}] after `{maker.layer.name}`: it raises for any input that does "
        f"not come out as {shown} there",
        help="Use `GroupNorm(1, channels)`, which takes any size and holds a scale and a shift per channel",
    )


def _sizes(layer: Layer) -> Sequence[int | str]:
    """The sizes that are normalised, as they are written where a value is not known. Raises `Undecided`."""
    try:
        return norms.normalized_shape(layer)
    except Undecided:
        argument = layer.argument("normalized_shape")
        text = argument.text if argument is not None else None
        node = expression(text) if text and ("[" in text or "(" in text) else None  # most are plain names
        if not isinstance(node, (ast.List, ast.Tuple)) or any(isinstance(one, ast.Starred) for one in node.elts):
            raise
        return [one.value if isinstance(one, ast.Constant) else ast.unparse(one) for one in node.elts]  # type: ignore[misc]  # sizes are integers


def _convolution(call: Call) -> Call | None:
    try:
        maker = origin_of_channels(call.producer())
    except Undecided:
        return None
    return maker if maker.kind in CONV else None
