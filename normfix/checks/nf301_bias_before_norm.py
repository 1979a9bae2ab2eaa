"""NF301 bias-before-norm: a bias whose only reader is a norm that subtracts it again."""

import ast
from collections.abc import Iterator

from normfix import norms
from normfix.checks._flow import final_readers, same, twins
from normfix.checks._modes import frozen
from normfix.checks._tied import variants
from normfix.engine import Facts, Rule, on_layer
from normfix.findings import Problem, Remedy, Safety, SetArgument, Severity, Transform
from normfix.graph import Call, Layer, LayerGraph, Unknown
from normfix.script import Script
from normfix.vocabulary import LINEAR, PRODUCERS

RULE = Rule("NF301", "bias-before-norm", Severity.WARNING, readers={"source", "model", "onnx"})
GUARDS = ("bias is not None", "bias is None", "if m.bias", ".bias:", "'bias'", '"bias"')
"""Ways to ask whether a layer has a bias."""


@on_layer(RULE, PRODUCERS)
def bias_before_norm(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """The norm subtracts the mean of each channel, b included: norm(f(x) + b) = norm(f(x)), b constant per channel."""
    norm = _spare(layer, facts.graph, facts)
    if norm is None:
        return
    others = [twin for twin in twins(layer, facts) if not (_is_open(layer) and _has_none(twin[0]))]
    if not all(_spare(*twin, facts) for twin in others):
        return
    help_line, remedy, safety = _in_source(layer, facts.script) if facts.script is not None else _in_model(layer)
    yield Problem(
        layer.site,
        f"`{layer.name}` adds a bias that `{norm.layer.name}` subtracts again: "
        f"{norm.kind} removes the mean of each channel",
        help=help_line,
        remedy=remedy,
        safety=safety,
        related=[("the norm that subtracts it", norm.layer.site)],
    )


def _in_source(layer: Layer, script: Script) -> tuple[str, Remedy | None, Safety]:
    if layer.helper:
        return f"Let `{layer.helper}` build it with `bias=False` where a norm follows", None, Safety.DISPLAY
    bias = layer.argument("bias")
    remedy = SetArgument(layer.site, "bias", "False", position=bias.position if bias else None)
    if _touches_biases(script):
        return "Pass `bias=False`, and guard the code of this file that touches biases", remedy, Safety.DISPLAY
    return (
        "Pass `bias=False`; `normfix migrate` moves old checkpoints, which still hold the bias",
        remedy,
        Safety.UNSAFE,
    )


def _in_model(layer: Layer) -> tuple[str, Remedy, Safety]:
    text = "Drop it with `normfix drop-bias`, which shifts the running mean and keeps the output"
    return text, Transform(layer.site, "drop_bias"), Safety.DISPLAY


def _touches_biases(script: Script) -> bool:
    """Is there an `m.bias.data.fill_(0)` or its like, which would fail once the bias is None."""
    if ".bias" not in script.text or any(guard in script.text for guard in GUARDS):
        return False
    return any(node.attr == "bias" for node in script.of_type(ast.Attribute))


def _spare(layer: Layer, graph: LayerGraph, facts: Facts) -> Call | None:
    """A norm that takes this layer's bias away, where it has one. Raises `Undecided`."""
    tied = _tied(layer, graph, facts.script, facts) if facts.script is not None and _is_open(layer) else None
    return tied or _cancelled_by(layer, graph, facts)


def _is_open(layer: Layer) -> bool:
    """Is there a bias in some cases only, or is it not known whether there is."""
    bias = layer.arguments.get("bias")
    return bias is not None and isinstance(bias.value, Unknown)


def _has_none(layer: Layer) -> bool:
    return not _is_open(layer) and not layer.flag("bias")


def _tied(layer: Layer, graph: LayerGraph, script: Script, facts: Facts) -> Call | None:
    """The norm behind this layer, where one parameter decides on the bias and on the norm. Raises `Undecided`."""
    if graph.open or not any(call.kind in norms.NORMS and _reads(call, layer) for call in graph.calls):
        return None
    found, without = None, []
    for variant in variants(layer, "bias", graph, script):
        for one in (one for one in variant.layers if one.site.origin == layer.site.origin):
            if _is_open(one):
                return None
            if one.flag("bias"):
                found = _cancelled_by(one, variant, facts)
                if found is None:
                    return None
            else:
                without.append(any(call.kind in norms.NORMS and _reads(call, one) for call in variant.calls))
    return None if without and all(without) else found


def _reads(norm: Call, layer: Layer) -> bool:
    """Is the result of a layer, or a join of branches that holds it, the input of a norm."""
    sources = [norm.inputs[0]] if norm.inputs else []
    for one in sources:
        if isinstance(one, Call):
            if one.layer is layer:
                return True
            sources += one.inputs if one.kind == "either" else ()
    return False


def _cancelled_by(layer: Layer, graph: LayerGraph, facts: Facts) -> Call | None:
    """A norm that takes this layer's bias away, where every reader at every call does. Raises `Undecided`."""
    if _reads_bias_elsewhere(layer, graph):
        return None
    found = None
    for call in graph.calls_of(layer):
        readers = final_readers(call, graph)
        if not readers or any(reader.kind not in norms.NORMS for reader in readers) or not _has_own_bias(layer):
            return None
        if not all(_cancels(norm, call, facts) for norm in readers):
            return None
        found = readers[0]
    return found


def _cancels(norm: Call, call: Call, facts: Facts) -> bool:
    return norms.cancels_bias(norm.layer) and not frozen(norm.layer, facts) and _over_same_channels(call, norm)


def _has_own_bias(layer: Layer) -> bool:
    """Is there a bias, and no other module that holds the same parameter."""
    if not layer.state:
        return layer.flag("bias")
    bias = layer.state.get("bias")
    return bias is not None and len(bias.names) <= max(1, len(layer.aliases))


def _reads_bias_elsewhere(layer: Layer, graph: LayerGraph) -> bool:
    """Does the forward pass use the parameter itself, say in a penalty."""
    bias = layer.state.get("bias")
    return bias is not None and any(call.kind == "constant" and call.layer.name in bias.names for call in graph.calls)


def _over_same_channels(call: Call, norm: Call) -> bool:
    """Is the bias constant along each statistic: conv channels stand on axis 1, a linear layer's on the last one."""
    shape = call.shape
    if call.kind in LINEAR:
        if norm.kind not in norms.BATCH or norm.kind[-2:] in ("2d", "3d"):
            return False
        # With rows (N, C) only: on (N, L, C) the norm runs over another axis than the bias.
        return len(shape) == 2 if not isinstance(shape, Unknown) else _same_width(call.layer, norm.layer)
    rank = int(call.kind[-2])
    if norm.kind[-2:] in ("1d", "2d", "3d") and norm.kind[-2:] != f"{rank}d":
        return False
    unbatched = norm.kind in norms.INSTANCE and not isinstance(shape, Unknown) and len(shape) == rank + 1
    return isinstance(shape, Unknown) or len(shape) == rank + 2 or unbatched


def _same_width(linear: Layer, norm: Layer) -> bool:
    """(N, L, C) would need a norm of L features, so equal widths mean (N, C), coincidences aside."""
    return same(linear, "out_features", norm, "num_features")
