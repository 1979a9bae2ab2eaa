"""How values flow between calls, as far as several checks need it."""

from collections.abc import Iterator
from functools import lru_cache

from normfix import norms, vocabulary
from normfix.engine import Facts
from normfix.graph import Argument, Call, Layer, LayerGraph, Origin, Undecided, Unknown
from normfix.script import Script

ELEMENTWISE = (
    vocabulary.IDENTITIES
    | vocabulary.DROPOUTS
    | (vocabulary.ACTIVATIONS - {"GLU", "glu", "Softmax", "softmax", "LogSoftmax", "log_softmax", "Softmin", "softmin"})
) - {"Softmax2d"}
"""Calls after which every element still stands where it stood."""

FUNCTIONAL_NORMS = frozenset(kind for kind in norms.NORMS if kind.islower())


def final_readers(call: Call, graph: LayerGraph) -> list[Call]:
    """The calls that read this result, looking through identities; empty where it is an output of the network.

    Raises `Undecided` where others may read it.
    """
    if graph.is_output(call):
        return []
    found: list[Call] = []
    for reader in graph.readers(call):
        if reader.kind not in vocabulary.IDENTITIES:
            found.append(reader)
            continue
        behind = final_readers(reader, graph)
        if not behind:
            return []
        found += behind
    return found


def sole_reader(call: Call, graph: LayerGraph) -> Call | None:
    """The one call that reads this result, looking through identities; None where there are none or several.

    Raises `Undecided` where others may read it.
    """
    readers = final_readers(call, graph)
    return readers[0] if len(readers) == 1 else None


def same(first: Layer, name: str, second: Layer, other: str) -> bool:
    """Have two hyper-parameters one value: equal where known, else written alike in one class. Raises `Undecided`."""
    one, two = first.argument(name), second.argument(other)
    if one is None or two is None:
        return first.value(name) == second.value(other)
    if isinstance(one.value, Unknown) or isinstance(two.value, Unknown):
        if _written_alike(one, two) and first.owner == second.owner:
            return True
        raise Undecided(f"`{name}` of `{first.name}` and `{other}` of `{second.name}` are not known to be equal")
    return one.value == two.value


def _written_alike(one: Argument, two: Argument) -> bool:
    """Is it the same expression, and one that gives the same value twice."""
    return bool(one.text) and "(" not in one.text and "".join(one.text.split()) == "".join(two.text.split())


def origin_of_channels(call: Call) -> Call:
    """The call that made the channels of this tensor: upstream through elementwise calls. Raises `Undecided`."""
    while call.kind in ELEMENTWISE:
        call = call.producer()
    return call


def upstream(call: Call) -> list[Call]:
    """This call and every one that its result is made from."""
    found, seen = [call], {id(call)}
    for one in found:
        for source in one.inputs:
            if isinstance(source, Call) and id(source) not in seen:
                seen.add(id(source))
                found.append(source)
    return found


def normalises_weights(call: Call) -> bool:
    """Is this a functional norm over stored tensors, as weight standardisation has it, rather than over data."""
    if call.kind not in FUNCTIONAL_NORMS or not call.inputs or isinstance(call.inputs[0], Unknown):
        return False
    makers = {one.kind for one in upstream(call.inputs[0])}
    return "constant" in makers and "input" not in makers


def twins(layer: Layer, facts: Facts) -> Iterator[tuple[Layer, LayerGraph]]:
    """Other layers that the same line of source constructs: in a loop, a helper, or another class that inlines it."""
    if layer.site.origin is not None and facts.script is not None:
        for other, graph in _constructed(facts.script)[layer.site.origin]:
            if other is not layer:
                yield other, graph


@lru_cache(maxsize=1)
def _constructed(script: Script) -> dict[Origin, list[tuple[Layer, LayerGraph]]]:
    """The layers of all graphs of a file, by the line that constructs them."""
    found: dict[Origin, list[tuple[Layer, LayerGraph]]] = {}
    for graph in (*script.graphs, *script.further()):
        for layer in graph.layers:
            if layer.site.origin is not None:
                found.setdefault(layer.site.origin, []).append((layer, graph))
    return found
