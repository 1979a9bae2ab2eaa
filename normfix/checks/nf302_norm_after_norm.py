"""NF302 norm-after-norm: a norm that undoes what the norm before it has learned."""

from collections.abc import Iterator

from normfix import norms
from normfix.checks._flow import normalises_weights, sole_reader
from normfix.checks._modes import frozen
from normfix.engine import Facts, Rule, on_call
from normfix.findings import Problem, Severity
from normfix.graph import Call, LayerGraph

RULE = Rule("NF302", "norm-after-norm", Severity.WARNING, readers={"source", "model", "onnx"})
PER_CHANNEL = norms.BATCH | norms.INSTANCE | norms.GROUP
TRAILING = norms.LAYER | norms.RMS
ACTIVATING = {"timm.BatchNormAct2d", "timm.SyncBatchNormAct", "timm.GroupNormAct", "timm.GroupNorm1Act"}
"""Norms that hold an activation, so that something does lie between."""


@on_call(RULE, (PER_CHANNEL | TRAILING) - ACTIVATING)
def norm_after_norm(call: Call, facts: Facts) -> Iterator[Problem]:
    """norm2(g1 * x + b1) = sign(g1) * norm2(x) per channel, up to eps: scale and shift of the first are lost."""
    if "timm.LayerNormAct" in call.kind:
        return
    second = None if normalises_weights(call) else _second(call, facts.graph)
    if second is None or not _undoes(second, call) or frozen(second.layer, facts) or frozen(call.layer, facts):
        return
    yield Problem(
        second.layer.site,
        f"`{second.layer.name}` follows `{call.layer.name}` with nothing between: it removes the scale and shift "
        "of the first, and normalises what is normalised",
        help="Keep one of the two; in eval mode `normfix fold` merges two batch norms exactly",
        related=[("the first norm", call.layer.site)],
    )


def _second(call: Call, graph: LayerGraph) -> Call | None:
    found = sole_reader(call, graph)
    return found if found is not None and found.kind in norms.NORMS else None


def _undoes(second: Call, first: Call) -> bool:
    """Do the statistics of the second run over the axes of the first, so that nothing learned there survives."""
    if first.kind in TRAILING:
        # A scale per feature survives: the mean of the second runs over features.
        same_kind = (first.kind in norms.LAYER) == (second.kind in norms.LAYER) and second.kind in TRAILING
        return (
            same_kind
            and not first.layer.flag("elementwise_affine")
            and norms.normalized_shape(first.layer) == norms.normalized_shape(second.layer)
        )
    if second.kind in norms.BATCH:
        return first.kind in norms.BATCH and _is_affine(second) and norms.cancels_bias(second.layer)
    if second.kind in norms.INSTANCE or second.kind in norms.GROUP:
        per_instance = norms.cancels_bias(second.layer)
        return per_instance and (first.kind in norms.BATCH or norms.cancels_bias(first.layer))
    return False


def _is_affine(call: Call) -> bool:
    """A batch norm without affine parameters, at the end of a projection head, is put there on purpose."""
    return call.kind == "batch_norm" or call.layer.flag("affine")
