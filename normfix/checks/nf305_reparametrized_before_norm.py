"""NF305 reparametrized-before-norm: a weight whose scale is learned or bounded, before a norm that cancels it."""

from collections.abc import Iterator

from normfix import norms
from normfix.checks._flow import sole_reader
from normfix.checks._modes import frozen
from normfix.engine import Facts, Rule, on_layer
from normfix.findings import Problem, Severity
from normfix.graph import Call, Layer
from normfix.vocabulary import PRODUCERS, TRANSPOSED_CONVOLUTIONS

RULE = Rule("NF305", "reparametrized-before-norm", Severity.INFO, readers={"source", "model"})
LOST = {
    "weight_norm": "the learned length of each filter has no effect while training",
    "spectral_norm": "the bound on the Lipschitz constant does not hold behind it",
}


@on_layer(RULE, PRODUCERS)
def reparametrized_before_norm(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """norm(c * W x) = norm(W x) for c > 0, up to eps. Weight standardisation centres too: that is not cancelled."""
    scaling = "weight_norm(dim=1)" if layer.kind in TRANSPOSED_CONVOLUTIONS else "weight_norm"
    wrapper = next((name.partition("(")[0] for name in layer.wrappers if name in (scaling, "spectral_norm")), None)
    if wrapper is None:
        return
    readers = [sole_reader(call, facts.graph) for call in facts.graph.calls_of(layer)]
    if not readers or not all(
        reader is not None and _cancels_scale(reader, layer, wrapper, facts) for reader in readers
    ):
        return
    norm = readers[0]
    assert norm is not None
    yield Problem(
        layer.site,
        f"`{layer.name}` has {wrapper}, and `{norm.layer.name}` cancels its scale: {LOST[wrapper]}",
        help=f"Leave out {wrapper}, or the norm",
        related=[("the norm that cancels it", norm.layer.site)],
    )


def _cancels_scale(norm: Call, layer: Layer, wrapper: str, facts: Facts) -> bool:
    """Per channel where each filter has its own scale, and the bias is taken away with the mean.

    Any norm will do for one scale of the whole weight, where no bias stands beside it: that is not scaled.
    """
    if norm.kind not in norms.NORMS or frozen(norm.layer, facts):
        return False
    if norms.cancels_bias(norm.layer):
        return True
    several = norm.kind in norms.GROUP | norms.LAYER | norms.RMS
    return wrapper == "spectral_norm" and several and not layer.flag("bias")
