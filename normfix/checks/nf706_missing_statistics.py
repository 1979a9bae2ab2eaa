"""NF706 missing-statistics: a checkpoint that holds the weights of a norm, and not its running statistics."""

from collections.abc import Iterator
from re import sub

from normfix.checks._stored import holds_statistics
from normfix.engine import Facts, Rule, on_graph
from normfix.findings import Problem, Severity
from normfix.graph import Layer, LayerGraph

RULE = Rule("NF706", "missing-statistics", Severity.WARNING, readers={"state"})


@on_graph(RULE)
def missing_statistics(graph: LayerGraph, facts: Facts) -> Iterator[Problem]:
    """Loading with strict=False leaves the initial 0 and 1 in place, without a word.

    Layer and group norms have no statistics either, so only a norm counts whose siblings, of the same name in other
    blocks, do have them.
    """
    complete = {_family(layer) for layer in graph.layers if holds_statistics(layer)}
    for layer in graph.layers:
        if "weight" in layer.state and not holds_statistics(layer) and _family(layer) in complete:
            if len(layer.state["weight"].shape) != 1:
                continue
            yield Problem(
                layer.site,
                f"`{layer.name}` has weights and no running statistics, which its siblings have",
                help="Save the buffers too: `state_dict()`, not `parameters()`",
            )


def _family(layer: Layer) -> str:
    """The name with its numbers blanked: "layer1.0.bn2" and "layer3.5.bn2" are of one family."""
    return sub(r"\d+", "*", layer.name)
