"""NF303 dropout-before-norm: batch norm learns a variance that eval mode never shows it."""

from collections.abc import Iterator

from normfix import norms
from normfix.checks._flow import ELEMENTWISE
from normfix.checks._modes import frozen
from normfix.engine import Facts, Rule, on_call
from normfix.findings import Problem, Severity
from normfix.graph import Call, Layer
from normfix.vocabulary import DROPOUTS

RULE = Rule("NF303", "dropout-before-norm", Severity.WARNING, readers={"source", "model"})
STRONG = 0.3


@on_call(RULE, norms.BATCH)
def dropout_before_norm(call: Call, facts: Facts) -> Iterator[Problem]:
    """Dropout scales what it keeps by 1 / (1 - p): the mean stays, the second moment grows by 1 / (1 - p)."""
    dropout, adjacent = call.producer(), True
    while dropout.kind in ELEMENTWISE and dropout.kind not in DROPOUTS:
        dropout, adjacent = dropout.producer(), False
    if dropout.kind not in DROPOUTS or not _drops(dropout.layer) or not norms.updates_statistics(call.layer):
        return
    if frozen(call.layer, facts):
        return
    p = dropout.layer.number("p")
    yield Problem(
        dropout.layer.site,
        f"`{dropout.layer.name}` drops {p:.0%} in front of `{call.layer.name}`: the running variance is up to "
        f"{1 / (1 - p):.2g} times that of eval mode",
        help="Move the dropout behind the last batch norm",
        severity=Severity.WARNING if adjacent and p >= STRONG else Severity.INFO,
        related=[("the norm that learns the larger variance", call.layer.site)],
    )


def _drops(layer: Layer) -> bool:
    """AlphaDropout keeps mean and variance; a functional dropout may be switched off."""
    if "lpha" in layer.kind or not 0 < layer.number("p") < 1:
        return False
    training = layer.arguments.get("training")
    return training is None or training.value is not False
