"""NF501 tiny-batch: batch norm trained on batches whose statistics are mostly noise."""

from collections.abc import Iterator

from normfix import norms
from normfix.checks._modes import example_batch, trains
from normfix.engine import Facts, Rule, on_graph
from normfix.findings import Problem, Severity, Transform
from normfix.graph import Layer, LayerGraph, Undecided

RULE = Rule("NF501", "tiny-batch", Severity.WARNING, readers={"source", "model"})
SEVERE, SMALL = 2, 8
"""Error of ResNet-50 on ImageNet with batch norm at 32, 16, 8, 4, 2 images a device: 23.6, 23.7, 24.8, 27.3, 34.7 %;
with group norm 24.1, 24.2, 24.0, 24.2, 24.1 % (Wu and He 2018)."""
EVIDENCE = {SEVERE: "34.7 % at 2, against 24.1 % with group norm", SMALL: "24.8 % at 8, 27.3 % at 4"}


@on_graph(RULE)
def tiny_batch(graph: LayerGraph, facts: Facts) -> Iterator[Problem]:
    """The batch is the declared one, or that of the example inputs of a model that is checked for training.

    Large feature maps are no excuse: the elements of one image are not independent.
    """
    if facts.reader != "model" or facts.purpose == "inference" or (facts.purpose is None and facts.batch_size is None):
        return
    layers = [layer for layer in graph.layers if _takes_the_batch(layer, facts)]
    if not layers:
        return
    per_device = facts.batch_size if facts.batch_size is not None else example_batch(facts)
    by_batch = {layer: per_device * _processes(layer, facts) for layer in layers}
    small = [layer for layer in layers if by_batch[layer] <= SMALL]
    if small:
        yield _problem(small, by_batch[small[0]])


def severity(batch: int) -> Severity | None:
    """How bad a batch of this size is for batch norm; None where it is large enough."""
    if batch > SMALL:
        return None
    return Severity.WARNING if batch <= SEVERE else Severity.INFO


def evidence(batch: int) -> str:
    """What is known about a batch of this size, for a message."""
    return "ResNet-50 on ImageNet errs " + EVIDENCE[SEVERE if batch <= SEVERE else SMALL]


def _takes_the_batch(layer: Layer, facts: Facts) -> bool:
    try:
        return layer.kind in norms.BATCH and layer.kind != "batch_norm" and trains(layer, facts)
    except Undecided:
        return False


def _processes(layer: Layer, facts: Facts) -> int:
    return facts.world_size or 1 if layer.kind in norms.SYNCHRONISED else 1


def _problem(layers: list[Layer], batch: int) -> Problem:
    others = f" and {len(layers) - 1} more" if len(layers) > 1 else ""
    return Problem(
        layers[0].site,
        f"`{layers[0].name}`{others} normalise with a batch of {batch}: {evidence(batch)}"
        if others
        else f"`{layers[0].name}` normalises with a batch of {batch}: {evidence(batch)}",
        help="Swap to group norm with `normfix.swap(model, 'group')`, synchronise over devices, or freeze the norms",
        severity=severity(batch),
        remedy=Transform(layers[0].site, "swap"),
        related=[("also normalises with this batch", layer.site) for layer in layers[1:4]],
    )
