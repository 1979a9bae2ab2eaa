"""NF201 wrong-normalized-shape: a norm over trailing axes that are not the ones it was built for."""

from collections.abc import Iterator

from normfix import norms
from normfix.checks._flow import origin_of_channels, same, upstream
from normfix.checks._modes import example_batch
from normfix.checks._written import surely_differ
from normfix.engine import Facts, Rule, on_call
from normfix.findings import Problem, Severity
from normfix.graph import Call, Layer, Shape, Undecided, Unknown
from normfix.vocabulary import CONVOLUTIONS, LINEAR, TRANSPOSED_CONVOLUTIONS

RULE = Rule("NF201", "wrong-normalized-shape", Severity.ERROR, readers={"source", "model", "onnx"})
TRAILING = norms.LAYER | norms.RMS
RECURRENT = frozenset({"RNN", "LSTM", "GRU"})
WIDTHS = {
    **dict.fromkeys(LINEAR, "out_features"),
    **dict.fromkeys(RECURRENT, "hidden_size"),
    "Embedding": "embedding_dim",
}
"""Layers that make the last axis, and the parameter that says how long it is."""
CONV = CONVOLUTIONS | TRANSPOSED_CONVOLUTIONS


@on_call(RULE, TRAILING)
def wrong_normalized_shape(call: Call, facts: Facts) -> Iterator[Problem]:
    """LayerNorm counts its axes from the end; the channels of a convolution stand on axis 1."""
    for fact, remedy in (_over_width(call), _other_sizes(call, facts), _over_batch(call, facts)):
        if fact:
            yield Problem(call.layer.site, f"`{call.layer.name}` {fact}", help=remedy)
            return


def _over_width(call: Call) -> tuple[str, str]:
    """Conv -> LayerNorm(C): it runs over the last axis, and only runs at all where that is C elements long."""
    maker = next((one for one in _makers(call) if one.kind in CONV), None)
    if maker is None or not _is_built_for_channels(call, maker):
        return "", ""
    shape, axis = maker.shape, _channel_axis(maker)
    hidden = isinstance(shape, tuple) and axis > 0 and shape[-1] == shape[axis]
    return (
        f"normalises the last axis of what `{maker.layer.name}` makes, but was built for its channels, on axis 1"
        + (": it runs only because both are equally long in this input" if hidden else ""),
        "Use `GroupNorm(1, channels)`, or move the channels last around it: `permute(0, 2, 3, 1)` and back",
    )


def _channel_axis(maker: Call) -> int:
    """Axis 1 of batched input, axis 0 of unbatched."""
    return len(maker.shape) - int(maker.kind[-2]) - 1 if isinstance(maker.shape, tuple) else 1


def _is_built_for_channels(call: Call, maker: Call) -> bool:
    try:
        sizes = norms.normalized_shape(call.layer)
    except Undecided:
        written = call.kind in ("LayerNorm", "RMSNorm")
        return written and same(call.layer, "normalized_shape", maker.layer, "out_channels")
    if isinstance(maker.shape, tuple):
        return sizes == (maker.shape[_channel_axis(maker)],)
    return len(sizes) == 1 and sizes[0] == maker.layer.value("out_channels")


def _other_sizes(call: Call, facts: Facts) -> tuple[str, str]:
    """Linear -> LayerNorm of another width: raises at the first batch."""
    maker = next((one for one in _makers(call) if one.kind in WIDTHS), None)
    if maker is None:
        return "", ""
    try:
        size, width = str(norms.normalized_shape(call.layer)[-1]), str(_width(maker.layer))
    except Undecided:
        alone = maker.kind not in RECURRENT and maker is _behind_elementwise(call)
        written = (
            surely_differ(maker.layer, WIDTHS[maker.kind], call.layer, "normalized_shape", facts) if alone else None
        )
        if written is None:
            raise
        width, size = (f"`{one}`" for one in written)
    if size == width or (width == "1" and maker is not _behind_elementwise(call)):
        return "", ""  # a sum spreads a width of one over that of its other part
    return (
        f"normalises {size} elements, but `{maker.layer.name}` makes {width}",
        f"Pass `normalized_shape={width.strip('`')}`",
    )


def _over_batch(call: Call, facts: Facts) -> tuple[str, str]:
    """All axes, the batch among them: the output of a sample depends on the others, and the batch size is fixed."""
    source = call.inputs[0] if call.inputs else None
    if not isinstance(source, Call) or isinstance(source.shape, Unknown):
        return "", ""
    sizes = norms.normalized_shape(call.layer)
    if len(sizes) < 2 or sizes != source.shape or not _has_batch_axis(source, source.shape, facts):
        return "", ""
    return (
        f"normalises all axes of {source.shape}, the batch among them: samples change each other's output",
        f"Pass `normalized_shape={list(sizes[1:])}`",
    )


def _has_batch_axis(source: Call, shape: Shape, facts: Facts) -> bool:
    """Is axis 0 known to be the batch: it follows the inputs, and a convolution upstream took them as batched."""
    earlier = upstream(source)
    if shape[0] != example_batch(facts) or all(one.kind != "input" for one in earlier):
        return False
    return facts.batch_size is not None or any(
        one.kind in CONV and isinstance(one.shape, tuple) and len(one.shape) == int(one.kind[-2]) + 2 for one in earlier
    )


def _width(maker: Layer) -> int:
    width = maker.integer(WIDTHS[maker.kind])
    if maker.kind not in RECURRENT:
        return width
    if maker.kind == "LSTM":
        width = maker.integer("proj_size") or width
    return width * (2 if maker.flag("bidirectional") else 1)


def _makers(call: Call) -> Iterator[Call]:
    """The calls that made what a norm reads: one, or where branches are summed, the one of each that is known.

    The parts of a sum have its trailing axes, where those are longer than one.
    """
    made = _behind_elementwise(call)
    if made is not None and made.kind == "add":
        for part in made.inputs:
            maker = _followed(part) if isinstance(part, Call) else None
            if maker is not None:
                yield maker
    elif made is not None:
        yield made


def _behind_elementwise(call: Call) -> Call | None:
    try:
        return _followed(call.producer())
    except Undecided:
        return None


def _followed(call: Call) -> Call | None:
    """Upstream through elementwise calls; the output of a recurrent layer is the first of its two results."""
    try:
        made = origin_of_channels(call)
        first = made.kind == "getitem" and made.producer().kind in RECURRENT and made.layer.value("index") == 0
        return made.producer() if first else made
    except Undecided:
        return None
