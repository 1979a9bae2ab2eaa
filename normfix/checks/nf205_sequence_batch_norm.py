"""NF205 sequence-batch-norm: BatchNorm1d on (N, L, C) takes the positions for channels, on (L, N, C) the samples."""

from collections.abc import Iterator

from normfix import norms
from normfix.checks._flow import ELEMENTWISE
from normfix.engine import Facts, Rule, on_call
from normfix.findings import Problem, Safety, Severity, TransposeAround
from normfix.graph import Call, Undecided
from normfix.vocabulary import LINEAR

RULE = Rule("NF205", "sequence-batch-norm", Severity.ERROR, readers={"source", "model", "onnx"})
ONE_DIMENSIONAL = {"BatchNorm1d", "LazyBatchNorm1d", "SyncBatchNorm"}
RECURRENT = {"RNN", "LSTM", "GRU"}
SEQUENTIAL = RECURRENT | {"MultiheadAttention"}
CHANNELS_LAST = LINEAR | SEQUENTIAL | {"Embedding", "LayerNorm", "RMSNorm"}


@on_call(RULE, ONE_DIMENSIONAL)
def sequence_batch_norm(call: Call, facts: Facts) -> Iterator[Problem]:
    """Batch norm normalises axis 1; a linear layer, an embedding or an LSTM puts its features on the last one."""
    maker = _maker(call)
    if maker is None:
        return
    shape = call.input_shape() if isinstance(maker.shape, tuple) else None
    if shape is not None:
        if len(shape) != 3:
            return
        width = shape[2]
        runs = call.kind.startswith("Lazy") or norms.channels(call.layer) == shape[1]
        outcome = f"it runs because sequences are {shape[1]} long in this input" if runs else "torch raises"
    else:
        if not _is_sequence(maker):
            raise Undecided(f"the rank of what feeds `{call.layer.name}` is not known")
        width = None
        outcome = "torch raises, unless sequences are exactly as long as it has features"
    yield Problem(
        call.layer.site,
        f"`{call.layer.name}` normalises axis 1, but `{maker.layer.name}` puts its "
        f"{f'{width} ' if width else ''}features on the last axis: {outcome}",
        help="Transpose around it, `norm(x.transpose(1, 2)).transpose(1, 2)`, or flatten the positions first",
        remedy=TransposeAround(call.site, (1, 2)) if _is_mendable(call, facts) else None,
        safety=Safety.UNSAFE if _is_mendable(call, facts) else Safety.DISPLAY,
    )


def _is_mendable(call: Call, facts: Facts) -> bool:
    """Is there one call in source to put transposes around."""
    if facts.reader != "source" or call.site.origin is None:
        return False
    try:
        return len(facts.graph.calls_of(call.layer)) == 1
    except Undecided:
        return False


def _maker(call: Call) -> Call | None:
    """The layer that put its features on the last axis; None where another kind made the tensor."""
    maker = call.producer()
    while maker.kind in ELEMENTWISE or maker.kind in ("getitem", "add"):
        behind = _of_sum(maker) if maker.kind == "add" else maker.producer()
        if behind is None:
            return None
        maker = behind
    is_linear = maker.kind == "matmul" and _beside_constant(maker) is not None
    return maker if maker.kind in CHANNELS_LAST or is_linear else None


def _of_sum(call: Call) -> Call | None:
    """The operand that tells where the features of a sum are: what is added to it, or the one out of an attention."""
    return _beside_constant(call) or next((one for one in call.inputs if isinstance(one, Call) and _attends(one)), None)


def _attends(call: Call) -> bool:
    """Is this, but for a dropout, the output of an attention layer: the residual beside it is of the same shape."""
    try:
        while call.kind in ELEMENTWISE or call.kind == "getitem":
            call = call.producer()
    except Undecided:
        return False
    return call.kind == "MultiheadAttention"


def _beside_constant(call: Call) -> Call | None:
    """The operand beside a stored one: the weight or bias of a linear layer, as ONNX writes one on (N, L, C)."""
    operands = [one for one in call.inputs if isinstance(one, Call)]
    moving = [one for one in operands if not _is_stored(one)]
    return moving[0] if len(operands) == 2 and len(moving) == 1 else None


def _is_stored(call: Call) -> bool:
    while call.kind in ("permute", "transpose", "Identity") and call.inputs and isinstance(call.inputs[0], Call):
        call = call.inputs[0]
    return call.kind == "constant"


def _is_sequence(maker: Call) -> bool:
    """Does source show that this is (N, L, C): it comes out of a recurrent or attention layer. Raises `Undecided`."""
    if maker.kind in SEQUENTIAL:
        return True
    if maker.kind == "Embedding" or not maker.inputs:
        return False
    earlier = _maker(maker)
    return earlier is not None and _is_sequence(earlier)
