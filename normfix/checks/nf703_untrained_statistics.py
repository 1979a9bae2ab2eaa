"""NF703 untrained-statistics: running statistics that no batch has touched, in a norm that is to use them."""

from collections.abc import Iterator

from normfix.checks._stored import holds_statistics, is_trained, values
from normfix.engine import Facts, Rule, on_graph
from normfix.findings import Problem, Severity
from normfix.graph import Layer, LayerGraph, Undecided
from normfix.norms import TRACKING

RULE = Rule("NF703", "untrained-statistics", Severity.WARNING, readers={"model", "onnx", "state"})


@on_graph(RULE)
def untrained_statistics(graph: LayerGraph, facts: Facts) -> Iterator[Problem]:
    """Mean all 0 and variance all 1 are initial values: eval mode then does not normalise.

    `num_batches_tracked` says nothing: converted weights leave it at 0. A fresh model that is about to be trained has
    these values too, so in a model without a declared purpose the shifts must have been trained.
    """
    if facts.purpose == "training":
        return
    stored = [layer for layer in graph.layers if layer.kind in TRACKING and holds_statistics(layer)]
    untrained = [layer for layer in stored if _is_untrained(layer)]
    if facts.reader == "model" and facts.purpose is None:
        untrained = [layer for layer in untrained if is_trained(layer)]
    if len(untrained) == len(stored) > 1:
        yield _problem(untrained[0], f" and {len(stored) - 1} more, all there are, have", any(map(is_trained, stored)))
        return
    for layer in untrained:
        yield _problem(layer, " has", is_trained(layer))


def _is_untrained(layer: Layer) -> bool:
    try:
        means, variances = values(layer, "running_mean"), values(layer, "running_var")
    except Undecided:
        return False
    return not any(means) and all(value == 1 for value in variances)


def _problem(layer: Layer, verb: str, trained: bool) -> Problem:
    return Problem(
        layer.site,
        f"`{layer.name}`{verb} the running statistics of a new norm, mean 0 and variance 1"
        + (", beside a shift that was trained" if trained else ""),
        help="Load the buffers too, or run some training batches through the model in train mode",
        severity=Severity.ERROR if trained else Severity.WARNING,
    )
