"""NF102 keras-momentum: the share to keep, as Keras and TensorFlow count it, where torch wants the share to replace."""

from collections.abc import Iterator

from normfix import norms
from normfix.checks._modes import frozen
from normfix.engine import Facts, Rule, on_layer
from normfix.findings import Problem, Safety, SetArgument, Severity
from normfix.graph import Layer

RULE = Rule("NF102", "keras-momentum", Severity.WARNING, readers={"source", "model", "onnx"})
CERTAIN, LIKELY = 0.9, 0.5


@on_layer(RULE, norms.BATCH | norms.INSTANCE)
def keras_momentum(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """running = (1 - m) * running + m * batch: with m = 0.99 the running statistics are those of the last batch.

    1.0 is left alone: it takes over one calibration batch.
    """
    momentum = layer.argument("momentum")
    value = momentum.value if momentum is not None else None
    if momentum is None or isinstance(value, bool) or not isinstance(value, (int, float)) or not LIKELY < value < 1:
        return
    if not norms.updates_statistics(layer) or (facts.reader == "source" and frozen(layer, facts)):
        return
    from decimal import Decimal  # costs a millisecond of start-up

    mended = str(1 - Decimal(repr(value)))
    yield Problem(
        layer.site,
        f"`{layer.name}` replaces {value:.4g} of its running statistics at every batch: "
        f"torch's momentum is 1 minus that of Keras",
        help=f"Write `momentum={mended}`, if the value comes from Keras or TensorFlow",
        severity=Severity.WARNING if value >= CERTAIN else Severity.INFO,
        remedy=SetArgument(layer.site, "momentum", mended, position=momentum.position),
        safety=Safety.UNSAFE,
    )
