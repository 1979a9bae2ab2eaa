"""NF103 frozen-momentum: running statistics that never move, or that a factor outside [0, 1] drives away."""

from collections.abc import Iterator

from normfix import norms
from normfix.engine import Facts, Rule, on_layer
from normfix.findings import Problem, Safety, SetArgument, Severity
from normfix.graph import Layer, Undecided

RULE = Rule("NF103", "frozen-momentum", Severity.WARNING, readers={"source", "model"})


@on_layer(RULE, norms.BATCH | norms.INSTANCE)
def frozen_momentum(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """running = (1 - m) * running + m * batch. torch checks neither the range nor the type of m; None is a mean."""
    momentum = layer.argument("momentum")
    if momentum is None or not isinstance(momentum.value, (int, float)):
        return
    value = momentum.value
    is_flag = isinstance(value, bool)
    if (0 < value <= 1 and not is_flag) or not norms.updates_statistics(layer):
        return
    if is_flag:
        fact = f"takes the flag `{value}` as momentum"
    elif value == 0:
        fact = "has momentum 0, so its running statistics stay at 0 and 1, or what a checkpoint held"
    else:
        fact = f"has momentum {value:g}, outside 0 to 1: its running statistics diverge"
    if value == 0 and not is_flag and facts.script is not None and ".load_state_dict(" in facts.script.text:
        raise Undecided(f"`{layer.name}` has momentum 0, which keeps the running statistics that this file loads")
    if value == 0 and not is_flag and _is_frozen_throughout(facts):
        raise Undecided(f"all norms of `{facts.graph.name}` have momentum 0, as where they come with their statistics")
    yield Problem(
        layer.site,
        f"`{layer.name}` {fact}",
        help="Write `momentum=0.1`; to freeze a norm on purpose, put it in eval mode",
        severity=Severity.WARNING if value == 0 and not is_flag else Severity.ERROR,
        remedy=SetArgument(layer.site, "momentum", "0.1", position=momentum.position),
        safety=Safety.UNSAFE,
    )


def _is_frozen_throughout(facts: Facts) -> bool:
    """Has a network several norms in source, and each the momentum 0: no slip, but one decision."""
    if facts.reader != "source":
        return False
    momenta = [one.argument("momentum") for one in facts.graph.layers if one.kind in norms.BATCH]
    return len(momenta) > 2 and all(one is not None and one.value == 0 and one.value is not False for one in momenta)
