"""NF703 untrained-statistics: running statistics that no batch has touched, in a norm that is to use them."""

from collections.abc import Iterator

from normfix.checks._stored import holds_statistics, is_trained, values
from normfix.engine import Facts, Rule, on_layer
from normfix.findings import Problem, Severity
from normfix.graph import Layer
from normfix.norms import TRACKING

RULE = Rule("NF703", "untrained-statistics", Severity.WARNING, readers={"model", "onnx", "state"})


@on_layer(RULE, TRACKING)
def untrained_statistics(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """Mean all 0 and variance all 1 are initial values: eval mode then does not normalise.

    `num_batches_tracked` says nothing: converted weights leave it at 0. A fresh model that is about to be trained has
    these values too, so in a model without a declared purpose the shifts must have been trained.
    """
    if facts.purpose == "training" or not holds_statistics(layer):
        return
    if any(values(layer, "running_mean")) or any(value != 1 for value in values(layer, "running_var")):
        return
    trained = is_trained(layer)
    if facts.reader == "model" and facts.purpose is None and not trained:
        return
    yield Problem(
        layer.site,
        f"`{layer.name}` has the running statistics it was built with, mean 0 and variance 1"
        + (", but its shift was trained" if trained else ""),
        help="Load the buffers too, or run some training batches through the model in train mode",
        severity=Severity.ERROR if trained else Severity.WARNING,
    )
