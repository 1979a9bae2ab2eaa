"""NF104 vanishing-eps: an eps that does not keep the division finite."""

from collections.abc import Iterator

from normfix import norms, vocabulary
from normfix.checks._modes import trains
from normfix.engine import Facts, Rule, on_layer
from normfix.findings import Problem, Safety, SetArgument, Severity
from normfix.graph import Layer, Undecided

RULE = Rule("NF104", "vanishing-eps", Severity.ERROR, readers={"source", "model", "onnx"})
WITH_EPS = frozenset(kind for kind in norms.NORMS if "eps" in vocabulary.signature(kind))


@on_layer(RULE, WITH_EPS)
def vanishing_eps(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """x / sqrt(var + eps) is NaN or Inf where var is 0: a constant row, a dead channel, padding."""
    eps = layer.argument("eps")
    if eps is None or isinstance(eps.value, bool) or not isinstance(eps.value, (int, float)):
        return
    if eps.value > 0:
        if eps.value >= norms.HALF_EPS or not _is_half(layer):
            return
        severity, fact = Severity.WARNING, f"has an eps of {eps.value:g}, which is 0 in its dtype float16"
    elif eps.value == 0 and _has_safe_variance(layer, facts):
        return
    else:
        severity, fact = Severity.ERROR, f"has an eps of {eps.value:g}: a variance of 0 gives NaN"
    yield Problem(
        layer.site,
        f"`{layer.name}` {fact}",
        help="Use `eps=1e-5`",
        severity=severity,
        remedy=SetArgument(layer.site, "eps", "1e-5", position=eps.position),
        safety=Safety.UNSAFE,
    )


def _is_half(layer: Layer) -> bool:
    written = getattr(layer.arguments.get("dtype"), "text", "").rpartition(".")[2]
    return written in ("float16", "half") or any(tensor.dtype == "float16" for tensor in layer.state.values())


def _has_safe_variance(layer: Layer, facts: Facts) -> bool:
    """Does it divide by stored variances that are all positive, as folded and frozen norms do."""
    if layer.kind in norms.FROZEN and "running_var" not in layer.state:
        return True
    try:
        stored = layer.kind in norms.FROZEN or not norms.uses_input_statistics(layer, trains(layer, facts))
    except Undecided:
        return False
    return stored and "running_var" in layer.state and min(layer.state["running_var"].values(), default=1.0) > 0
