"""NF701 non-finite-statistics: NaN or Inf in what a norm stores, which it then spreads for ever."""

from collections.abc import Iterator
from math import isfinite

from normfix import norms
from normfix.engine import ARTEFACTS, LIVE, Facts, Rule, on_layer
from normfix.findings import Problem, Severity
from normfix.graph import Layer

RULE = Rule("NF701", "non-finite-statistics", Severity.ERROR, readers=LIVE | ARTEFACTS)


@on_layer(RULE, norms.NORMS)
def non_finite_statistics(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """running = (1 - m) * running + m * batch keeps a NaN whatever the batch, even with m = 1: 0 * NaN is NaN."""
    for name, tensor in layer.state.items():
        elements = tensor.values()
        bad = sum(not isfinite(value) for value in elements)
        if bad:
            yield Problem(
                layer.site,
                f"`{layer.name}` has {bad} of {len(elements)} elements of `{name}` that are NaN or Inf",
                help="Reset the statistics and gather them again on clean data (`reset_running_stats`)"
                if name.startswith("running_")
                else "Go back to a checkpoint from before the divergence",
            )
            return
