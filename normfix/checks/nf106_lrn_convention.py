"""NF106 lrn-convention: local response norm in the numbers of another library, or with a window ONNX mirrors."""

from collections.abc import Iterator

from normfix import norms
from normfix.engine import Facts, Rule, on_layer
from normfix.findings import Problem, Severity
from normfix.graph import Layer

RULE = Rule("NF106", "lrn-convention", Severity.ERROR, readers={"source", "model", "onnx"})
COPIED = {
    (5, 1e-4, 2.0): "the AlexNet paper",
    (5, 2e-5, 1.0): "TensorFlow's AlexNet",
    (9, 1e-3 / 9, 1.0): "TensorFlow's CIFAR-10 tutorial",
}
"""Window, alpha and k of sources that do not divide alpha by the window. Caffe does, as torch does."""


@on_layer(RULE, norms.LOCAL_RESPONSE)
def lrn_convention(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """torch: b = a / (k + alpha / n * sum a^2)^beta over n channels, one more before than after when n is even.

    The paper and TensorFlow do not divide by n; ONNX has the one more after, and ONNX Runtime refuses even n.
    """
    size = layer.integer("size")
    if size % 2 == 0:
        exported = facts.reader == "onnx" or facts.purpose == "inference" or _exports(facts)
        yield Problem(
            layer.site,
            f"`{layer.name}` has a window of {size} channels: ONNX mirrors an even window, ONNX Runtime refuses it",
            help=f"Use an odd size: {size - 1} or {size + 1}",
            severity=Severity.ERROR if exported else Severity.WARNING,
        )
    if facts.reader == "onnx":
        return
    alpha, k = layer.number("alpha"), layer.number("k")
    for (window, theirs, shift), where in COPIED.items():
        if size == window and k == shift and abs(alpha - theirs) < 1e-9:
            yield Problem(
                layer.site,
                f"`{layer.name}` has the alpha of {where}, which does not divide by the window: torch does",
                help=f"Write `alpha={size * alpha:.4g}` to compute the same",
                severity=Severity.INFO,
            )


def _exports(facts: Facts) -> bool:
    return facts.script is not None and "onnx.export" in facts.script.text
