"""NF702 negative-variance: a running variance below zero, whose square root is NaN."""

from collections.abc import Iterator

from normfix.checks._stored import WITH_BUFFERS, values
from normfix.engine import ARTEFACTS, LIVE, Facts, Rule, on_layer
from normfix.findings import Problem, Severity
from normfix.graph import Layer, Undecided

RULE = Rule("NF702", "negative-variance", Severity.ERROR, readers=LIVE | ARTEFACTS)


@on_layer(RULE, WITH_BUFFERS)
def negative_variance(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """No data has one: it comes from averaged or converted weights, or from an eps subtracted twice."""
    variances = values(layer, "running_var")
    least = min(variances, default=0.0)
    if not least < 0:
        return
    count = sum(value < 0 for value in variances)
    tiny = -least < _eps(layer)
    yield Problem(
        layer.site,
        f"`{layer.name}` has {count} of {len(variances)} running variances below 0, the least {least:.3g}: "
        + ("an eps was subtracted from them" if tiny else "their square root is NaN"),
        help="Set them to 0: they are smaller than eps" if tiny else "Gather the statistics again",
    )


def _eps(layer: Layer) -> float:
    try:
        return layer.number("eps")
    except Undecided:
        return 0.0
