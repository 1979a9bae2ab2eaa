"""NF102 keras-momentum: the share to keep, as Keras and TensorFlow count it, where torch wants the share to replace."""

from collections.abc import Iterator

from normfix import norms
from normfix.checks._modes import frozen
from normfix.engine import Facts, Rule, on_layer
from normfix.findings import Problem, Safety, SetArgument, Severity
from normfix.graph import Layer, Undecided

RULE = Rule("NF102", "keras-momentum", Severity.WARNING, readers={"source", "model", "onnx"})
CERTAIN, LIKELY = 0.9, 0.5


@on_layer(RULE, norms.BATCH | norms.INSTANCE)
def keras_momentum(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """running = (1 - m) * running + m * batch: with m = 0.99 the running statistics are those of the last batch.

    1.0 is left alone: it takes over one calibration batch.
    """
    momentum, value = layer.argument("momentum"), _kept_share(layer)
    if momentum is None or value is None or not norms.updates_statistics(layer):
        return
    if facts.reader == "source" and (frozen(layer, facts) or _never_reads_them(layer)):
        return
    alike = [layer] if facts.reader != "model" else _alike(layer, value, facts)
    if alike[0] is not layer:
        return  # said of the first
    others = len(alike) - 1
    also = f" and {others} other {layer.kind} layer{'s' * (others > 1)}" if others else ""
    from decimal import Decimal  # costs a millisecond of start-up

    mended = str(1 - Decimal(repr(value)))
    yield Problem(
        layer.site,
        f"`{layer.name}`{also} replace{'s' * (not others)} {value:.4g} of {'their' if others else 'its'} running "
        "statistics at every batch: "
        "torch's momentum is 1 minus that of Keras",
        help=f"Write `momentum={mended}`, if the value comes from Keras or TensorFlow",
        severity=Severity.WARNING if value >= CERTAIN else Severity.INFO,
        remedy=SetArgument(layer.site, "momentum", mended, position=momentum.position),
        safety=Safety.UNSAFE,
        related=[("has this momentum too", one.site) for one in alike[1:4]],
    )


def _kept_share(layer: Layer) -> float | None:
    """The momentum, where it looks like the share of the running statistics to keep."""
    momentum = layer.argument("momentum")
    value = momentum.value if momentum is not None else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if LIKELY < value < 1 else None


def _never_reads_them(layer: Layer) -> bool:
    """Is this `F.batch_norm(..., training=True)`, which normalises with the batch in every mode."""
    training = layer.argument("training") if layer.kind.islower() else None
    return training is not None and training.value is True


def _alike(layer: Layer, value: float, facts: Facts) -> list[Layer]:
    """The layers of a live model that this can be said of at once: of one kind and momentum, in order."""
    same = (one for one in facts.graph.layers if one.kind == layer.kind and _kept_share(one) == value)
    return [one for one in same if one is layer or _updates(one)]


def _updates(layer: Layer) -> bool:
    try:
        return norms.updates_statistics(layer)
    except Undecided:
        return False
