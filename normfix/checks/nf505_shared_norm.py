"""NF505 shared-norm: one batch norm over several distributions, whose mixture it shows in eval mode."""

from collections.abc import Iterator
from itertools import combinations

from normfix import norms
from normfix.checks._flow import upstream
from normfix.checks._modes import frozen
from normfix.engine import Facts, Rule, on_layer
from normfix.findings import Problem, Severity
from normfix.graph import Call, Layer, Undecided, exclusive

RULE = Rule("NF505", "shared-norm", Severity.WARNING, readers={"source", "model", "onnx"})


@on_layer(RULE, norms.BATCH - {"batch_norm"})
def shared_norm(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """Each call in training has statistics of its own; eval uses one running mean and variance for all.

    A block that is shared as a whole, as in siamese networks, is left alone: its inputs may be alike. Calls in
    different branches are no proof: `if first` and `if not first` exclude each other, `norms[i]` is one of several.
    """
    if not norms.updates_statistics(layer):
        return
    calls = facts.graph.calls_of(layer)
    if len(calls) < 2 or frozen(layer, facts):
        return
    pairs = [(one, two) for one, two in combinations(calls, 2) if not exclusive(one, two)]
    together = [(one, two) for one, two in pairs if one.branches == two.branches]
    if not any(_differ(one, two) for one, two in together):
        if len(together) < len(pairs):
            raise Undecided(
                f"one pass may run only one of the calls of `{layer.name}`, which stand in different branches"
            )
        return
    if layer.repeated:
        raise Undecided(f"a loop constructs `{layer.name}`: its calls may be of different ones")
    yield Problem(
        layer.site,
        f"`{layer.name}` normalises {len(calls)} different tensors: each has its own statistics in training, "
        "in eval mode all have the mixture",
        help="Give each place a batch norm of its own; the layers before it may stay shared",
        related=[("is called here", call.site) for call in calls if call.site != layer.site][:4],
    )


def _differ(one: Call, two: Call) -> bool:
    """Do different layers make the two inputs, or does the second follow from the first. Raises `Undecided`."""
    if any(call is one for call in upstream(two)[1:]) or any(call is two for call in upstream(one)[1:]):
        return True
    makers = (_maker(one), _maker(two))
    return makers[0] is not makers[1]


def _maker(call: Call) -> Layer:
    """The layer that makes what this call reads; operations without parameters are looked through."""
    maker = call.producer()
    while maker.kind.islower() and maker.kind not in ("input", "either", "constant", "getitem"):
        if len([source for source in maker.inputs if isinstance(source, Call)]) != 1:
            raise Undecided(f"what feeds `{call.layer.name}` has several sources")
        maker = maker.producer()
    if maker.kind in ("input", "either", "constant", "getitem"):
        raise Undecided(f"what feeds `{call.layer.name}` is not a layer")
    return maker.layer
