"""NF306 unfolded-norm: a batch norm in eval mode that the layer before it could carry out."""

from collections.abc import Iterator

from normfix import norms
from normfix.checks._flow import normalises_weights, sole_reader
from normfix.engine import Facts, Rule, on_call
from normfix.findings import Problem, Severity, Transform
from normfix.graph import Call
from normfix.vocabulary import CONVOLUTIONS, LINEAR, PRODUCERS, TRANSPOSED_CONVOLUTIONS

RULE = Rule("NF306", "unfolded-norm", Severity.INFO, readers={"model", "onnx", "pt2"})
CONV = CONVOLUTIONS | TRANSPOSED_CONVOLUTIONS


@on_call(RULE, norms.BATCH | norms.FROZEN)
def unfolded_norm(call: Call, facts: Facts) -> Iterator[Problem]:
    """W' = s * W, b' = s * b + t with s = weight / sqrt(running_var + eps): the same output, one pass less."""
    if facts.purpose != "inference" and facts.reader == "model":
        return
    if call.kind == "batch_norm" or norms.uses_input_statistics(call.layer, training=False) or call.training is True:
        return
    producer = call.producer()
    if producer.kind not in PRODUCERS or sole_reader(producer, facts.graph) is not call:
        return
    if len(facts.graph.calls_of(producer.layer)) != 1 or len(facts.graph.calls_of(call.layer)) != 1:
        return
    if (
        normalises_weights(call)
        or not _stand_on_the_same_axis(producer)
        or producer.layer.wrappers
        or call.layer.wrappers
    ):
        return
    yield Problem(
        call.layer.site,
        f"`{call.layer.name}` is a fixed scale and shift in eval mode, which `{producer.layer.name}` could carry out",
        help="Fold it with `normfix fold`, which proves the result",
        remedy=Transform(call.layer.site, "fold"),
    )


def _stand_on_the_same_axis(producer: Call) -> bool:
    shape = producer.shape
    rank = 2 if producer.kind in LINEAR else int(producer.kind[-2]) + 2
    return isinstance(shape, tuple) and len(shape) == rank
