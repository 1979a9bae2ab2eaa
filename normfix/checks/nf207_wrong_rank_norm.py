"""NF207 wrong-rank-norm: BatchNorm2d on sequences, BatchNorm1d on images, and so on."""

from collections.abc import Iterator

from normfix import norms, vocabulary
from normfix.checks._flow import ELEMENTWISE, same
from normfix.engine import Facts, Rule, on_call
from normfix.findings import Problem, ReplaceCallee, Safety, Severity
from normfix.graph import Call, LayerGraph, Undecided
from normfix.vocabulary import CONVOLUTIONS, LINEAR, POOLS, TRANSPOSED_CONVOLUTIONS

RULE = Rule("NF207", "wrong-rank-norm", Severity.ERROR, readers={"source", "model"})
CONV = CONVOLUTIONS | TRANSPOSED_CONVOLUTIONS
RANKED = frozenset(kind for kind in norms.BATCH | norms.INSTANCE if norms.ranks(kind))


@on_call(RULE, RANKED)
def wrong_rank_norm(call: Call, facts: Facts) -> Iterator[Problem]:
    """torch raises; but an instance norm one rank too high takes (N, C, L) for an unbatched image, in silence."""
    rank, maker = _rank(call)
    if rank is None or maker is None or _takes(call, rank):
        return
    others = _alternatives(call, facts.graph)
    if any(_takes(other, rank) for other in others):
        return
    wanted = {3: "1d", 4: "2d", 5: "3d"}.get(rank, "1d")
    mendable = facts.reader == "source" and call.kind in vocabulary.kinds() and "." not in call.kind and not others
    silent = call.kind in norms.INSTANCE and rank in norms.ranks(call.kind)
    yield Problem(
        call.layer.site,
        f"`{call.layer.name}` is a {call.kind}, but `{maker.layer.name}` makes {rank}-D batches: "
        + ("it takes the batch for channels" if silent else "torch raises"),
        help=f"Use `{call.kind[:-2]}{wanted}`",
        remedy=ReplaceCallee(call.layer.site, f"{call.kind[:-2]}{wanted}") if mendable else None,
        safety=Safety.UNSAFE if mendable else Safety.DISPLAY,
    )


def _alternatives(call: Call, graph: LayerGraph) -> list[Call]:
    """The norms that may run in place of this one: which of several is picked is not known."""
    return [
        other
        for other in graph.calls
        if other.kind in norms.NORMS
        and other.layer is not call.layer
        and other.site == call.site
        and call.site.origin is not None
        and other.inputs == call.inputs
    ]


def _takes(call: Call, rank: int) -> bool:
    return call.kind not in RANKED or rank in _batched_ranks(call.kind)


def _batched_ranks(kind: str) -> tuple[int, ...]:
    """The ranks that this kind takes as batches."""
    accepted = norms.ranks(kind)
    return accepted[1:] if kind in norms.INSTANCE else accepted


def _rank(call: Call) -> tuple[int | None, Call | None]:
    """The rank of batched input, as the layer upstream makes it. Raises `Undecided`."""
    maker = call.producer()
    while maker.kind in ELEMENTWISE or maker.kind in POOLS or maker.kind in norms.BATCH:
        maker = maker.producer()
    if maker.kind in CONV:
        rank = int(maker.kind[-2]) + 2
        return (rank if not isinstance(maker.shape, tuple) or len(maker.shape) == rank else None), maker
    if maker.kind not in LINEAR or call.kind[-2:] == "1d":
        return None, None
    if isinstance(maker.shape, tuple):
        return len(maker.shape), maker
    # (N, H, W, C) would need a norm of H features.
    if not same(maker.layer, "out_features", call.layer, "num_features"):
        raise Undecided(f"the rank of what feeds `{call.layer.name}` is not known")
    return 2, maker
