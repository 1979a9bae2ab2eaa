"""NF107 unpinned-rms-eps: RMSNorm without an eps takes one that depends on the version of torch and on the dtype."""

from collections.abc import Iterator

from normfix.checks._flow import twins
from normfix.engine import Facts, Rule, on_layer
from normfix.findings import Problem, Safety, SetArgument, Severity
from normfix.graph import Layer, Undecided

RULE = Rule("NF107", "unpinned-rms-eps", Severity.INFO, readers={"source", "model"})
CURRENT = "1.1920929e-07"
"""torch.finfo(torch.float32).eps, which torch takes for half precision input too since 2025."""


@on_layer(RULE, {"RMSNorm", "rms_norm"})
def unpinned_rms_eps(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """None was finfo(x.dtype).eps, 7.8e-3 in bfloat16; it is that of the dtype computed in now, 1.2e-7."""
    if layer.value("eps") is not None:
        return
    if layer.kind == "RMSNorm" and any(other.kind != layer.kind for other, _ in twins(layer, facts)):
        raise Undecided(f"the line that makes `{layer.name}` makes other norms too, by an option")
    eps = layer.arguments.get("eps")
    yield Problem(
        layer.site,
        f"`{layer.name}` has no eps: torch's default depends on its version and on the dtype",
        help=f"Write `eps={CURRENT}` for what torch computes today, or the value of the checkpoint's authors",
        remedy=SetArgument(layer.site, "eps", CURRENT, position=eps.position if eps else None),
        safety=Safety.UNSAFE,
    )
