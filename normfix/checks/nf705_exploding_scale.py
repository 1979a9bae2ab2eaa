"""NF705 exploding-scale: a channel that eval mode multiplies far more than its neighbours."""

from collections.abc import Iterator
from math import sqrt

from normfix.checks._stored import WITH_BUFFERS, values
from normfix.engine import Facts, Rule, on_layer
from normfix.findings import Problem, Severity
from normfix.graph import Layer

RULE = Rule("NF705", "exploding-scale", Severity.INFO, readers={"model", "onnx", "state"})
FACTOR, LARGE = 100.0, 100.0
"""A scale counts where it is this many times the median of its layer, and this large by itself."""
FLOAT16_MAX = 65504.0
DEFAULT_EPS = 1e-5


@on_layer(RULE, WITH_BUFFERS)
def exploding_scale(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """s = weight / sqrt(running_var + eps): a dead channel of variance 0 gets 316 times its weight at eps 1e-5."""
    variances = values(layer, "running_var")
    # A checkpoint does not hold eps.
    eps = DEFAULT_EPS if facts.reader == "state" else layer.number("eps") if variances else 0.0
    if not variances or any(value < 0 or not value + eps > 0 for value in variances):
        return
    weights = values(layer, "weight") or [1.0] * len(variances)
    scales = [abs(weight) / sqrt(variance + eps) for weight, variance in zip(weights, variances, strict=True)]
    largest, median = max(scales), sorted(scales)[len(scales) // 2]
    overflows = largest > FLOAT16_MAX
    if not overflows and (largest < LARGE or largest < FACTOR * median):
        return
    channel = scales.index(largest)
    yield Problem(
        layer.site,
        f"`{layer.name}` multiplies channel {channel} by {largest:.3g} in eval mode, the median channel by {median:.3g}"
        + (", if its eps is the default" if facts.reader == "state" else "")
        + (": more than float16 holds" if overflows else ""),
        help="Look at what feeds this channel: it is nearly constant. Fold in float64, keep it out of half precision",
    )
