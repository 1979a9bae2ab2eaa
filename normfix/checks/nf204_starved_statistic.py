"""NF204 starved-statistic: few elements behind each statistic, so the norm keeps little more than signs."""

from collections.abc import Iterator

from normfix import norms
from normfix.checks._flow import normalises_weights
from normfix.checks._modes import elements, planned, takes_statistics
from normfix.engine import Facts, Rule, on_call
from normfix.findings import Problem, Severity
from normfix.graph import Call

RULE = Rule("NF204", "starved-statistic", Severity.WARNING, readers={"model", "onnx"})
CENTRED = norms.NORMS - norms.LOCAL_RESPONSE - norms.RMS - norms.CHANNEL_RMS - norms.FROZEN
FEW = 8


@on_call(RULE, CENTRED)
def starved_statistic(call: Call, facts: Facts) -> Iterator[Problem]:
    """m = 2: the two values become +1 and -1 whatever they were. Batch norm is judged at a declared batch only."""
    if not takes_statistics(call.layer, facts) or normalises_weights(call):
        return
    if call.kind in norms.BATCH and facts.batch_size is None:
        return
    least = min(elements(call, facts), default=FEW)
    if not 2 <= least < FEW:
        return
    shape = planned(call.input_shape(), facts)
    signs = ": only signs are left of its input" if least == 2 else ""
    yield Problem(
        call.layer.site,
        f"`{call.layer.name}` takes each statistic over {least} elements of {shape}{signs}",
        help="Use fewer groups, normalise before the pooling, or train with a larger batch",
        severity=Severity.WARNING if least == 2 else Severity.INFO,
    )
