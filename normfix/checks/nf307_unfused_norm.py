"""NF307 unfused-norm: a layer norm written by hand over an axis that ONNX Runtime does not fuse."""

from collections.abc import Iterator, Sequence

from normfix.engine import Facts, Rule, on_call
from normfix.findings import Problem, Severity
from normfix.graph import Call, Unknown

RULE = Rule("NF307", "unfused-norm", Severity.INFO, readers={"model", "onnx"})
SQUARES = {"pow", "square", "mul"}


@on_call(RULE, {"sqrt", "rsqrt"})
def unfused_norm(call: Call, facts: Facts) -> Iterator[Problem]:
    """(x - mean) / sqrt(mean((x - mean)^2) + eps): one kernel over the last axes, eight over others."""
    spread = _spread(call)
    if spread is None or not _is_a_norm(call, spread, facts):
        return
    axes, rank = _axes(spread)
    if not axes or not rank or set(axes) == set(range(rank - len(axes), rank)):
        return
    shown = ", ".join(map(str, sorted(axes)))
    yield Problem(
        call.site,
        f"`{call.site.module or facts.graph.name}` normalises axis {shown} of {rank} by hand: ONNX Runtime fuses a "
        "layer norm over the last axes only",
        help="Permute the axis to the end, call `F.layer_norm`, and permute back: the result is the same",
    )


def _spread(root: Call) -> Call | None:
    """The variance, or the mean of squares, that stands with an eps under the root."""
    total = _input(root)
    if total is None or total.kind != "add":
        return None
    parts = [one for one in total.inputs if isinstance(one, Call) and one.kind != "constant"]
    if len(parts) != 1:
        return None
    (spread,) = parts
    if spread.kind == "var":
        return spread
    squares = _input(spread) if spread.kind == "mean" else None
    return spread if squares is not None and squares.kind in SQUARES and _squares(squares) else None


def _squares(call: Call) -> bool:
    if call.kind == "mul":
        return len(call.inputs) == 2 and call.inputs[0] is call.inputs[1]
    exponent = call.layer.arguments.get("exponent")
    return call.kind == "square" or (exponent is not None and exponent.value in (2, 2.0))


def _is_a_norm(root: Call, spread: Call, facts: Facts) -> bool:
    """Is a difference from a mean divided by this root."""
    for reader in facts.graph.readers(root):
        if reader.kind not in ("div", "mul"):
            continue
        others = [one for one in reader.inputs if isinstance(one, Call) and one is not root]
        if any(one.kind == "sub" and _subtracts_mean(one, spread) for one in others):
            return True
    return False


def _subtracts_mean(call: Call, spread: Call) -> bool:
    means = [one for one in call.inputs[1:] if isinstance(one, Call) and one.kind == "mean"]
    return any(_axes(mean) == _axes(spread) for mean in means)


def _axes(reduction: Call) -> tuple[Sequence[int], int]:
    """The axes that are reduced, from 0, and the rank; empty where they are not known."""
    source = _input(reduction)
    dim = reduction.layer.arguments.get("dim")
    if source is None or isinstance(source.shape, Unknown) or dim is None:
        return (), 0
    rank = len(source.shape)
    dims = dim.value if isinstance(dim.value, (tuple, list)) else (dim.value,)
    if not all(isinstance(one, int) for one in dims):
        return (), 0
    return tuple(sorted(one % rank for one in dims)), rank


def _input(call: Call) -> Call | None:
    source = call.inputs[0] if call.inputs else None
    return source if isinstance(source, Call) else None
