"""NF305 reparametrized-before-norm: a weight whose scale is learned or bounded, before a norm that cancels it."""

from collections.abc import Iterator

from normfix import norms
from normfix.checks._flow import sole_reader
from normfix.checks._modes import frozen
from normfix.engine import Facts, Rule, on_layer
from normfix.findings import Problem, Severity
from normfix.graph import Call, Layer
from normfix.vocabulary import PRODUCERS

RULE = Rule("NF305", "reparametrized-before-norm", Severity.INFO, readers={"source", "model"})
LOST = {
    "weight_norm": "the learned length of each filter has no effect while training",
    "spectral_norm": "the bound on the Lipschitz constant does not hold behind it",
}


@on_layer(RULE, PRODUCERS)
def reparametrized_before_norm(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """norm(c * W x) = norm(W x) for c > 0, up to eps. Weight standardisation centres too: that is not cancelled."""
    wrapper = next((name for name in layer.wrappers if name in LOST), None)
    if wrapper is None:
        return
    readers = [sole_reader(call, facts.graph) for call in facts.graph.calls_of(layer)]
    if not readers or not all(reader is not None and _cancels_scale(reader, wrapper, facts) for reader in readers):
        return
    norm = readers[0]
    assert norm is not None
    yield Problem(
        layer.site,
        f"`{layer.name}` has {wrapper}, and `{norm.layer.name}` cancels its scale: {LOST[wrapper]}",
        help=f"Leave out {wrapper}, or the norm",
        related=[("the norm that cancels it", norm.layer.site)],
    )


def _cancels_scale(norm: Call, wrapper: str, facts: Facts) -> bool:
    """Per channel where each filter has its own scale; any norm will do for one scale of the whole weight."""
    if norm.kind not in norms.NORMS or frozen(norm.layer, facts):
        return False
    if norms.cancels_bias(norm.layer):
        return True
    return wrapper == "spectral_norm" and norm.kind in norms.GROUP | norms.LAYER | norms.RMS
