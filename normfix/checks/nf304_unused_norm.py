"""NF304 unused-norm: a norm that is built and never called."""

import ast
from collections.abc import Iterator

from normfix import norms
from normfix.engine import Facts, Rule, on_layer
from normfix.findings import Problem, RemoveStatement, Safety, Severity
from normfix.graph import Layer, LayerGraph
from normfix.script import Script

RULE = Rule("NF304", "unused-norm", Severity.INFO, readers={"source", "model"})
MODULES = frozenset(kind for kind in norms.NORMS if not kind.islower())
WALKS = {"children", "modules", "named_children", "named_modules", "_modules", "__dict__", "__getattr__"}
"""Ways to reach a submodule without writing its name."""
FILLING = {"append", "extend", "insert"}
"""What puts layers into a list, and uses none."""


@on_layer(RULE, MODULES)
def unused_norm(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """Its parameters get no gradient, which DistributedDataParallel refuses, and the block lacks its norm."""
    graph = facts.graph
    if graph.calls_of(layer) or not any(call.kind not in ("input", "constant") for call in graph.calls):
        return
    place, _, rest = layer.name.partition("[")
    if rest and (facts.script is None or not _leads_norms(layer, place, graph)):
        return
    if _is_mentioned(layer, place, facts.script) if facts.script is not None else _is_read(layer, graph):
        return
    yield Problem(
        layer.site,
        f"`{place}` is built, but no call of it contributes to the output",
        help="Call it where it was meant to stand, or delete it; strict loading of old checkpoints then needs care",
        remedy=RemoveStatement(layer.site) if facts.reader == "source" and not rest else None,
        safety=Safety.UNSAFE if facts.reader == "source" and not rest else Safety.DISPLAY,
    )


def _leads_norms(layer: Layer, place: str, graph: LayerGraph) -> bool:
    """Is this the first layer of a list that holds norms only."""
    alike = [one for one in graph.layers if one.name.startswith(f"{place}[")]
    return alike[:1] == [layer] and all(one.kind in MODULES for one in alike)


def _is_read(layer: Layer, graph: LayerGraph) -> bool:
    """Are its tensors read by an operation, as fused transformer kernels do."""
    constants = {call.layer.name for call in graph.calls if call.kind == "constant"}
    return any(name in constants for tensor in layer.state.values() for name in tensor.names)


def _is_mentioned(layer: Layer, place: str, script: Script) -> bool:
    """Does the file name the attribute anywhere but where it is assigned or filled, or walk over submodules."""
    owner, _, name = place.rpartition(".")
    if owner != "self" or not name.isidentifier():
        return True
    related = _related(script, layer.owner)
    for node in script.of_type(ast.Attribute):
        if node.attr in WALKS:
            return True
        if node.attr == name and not isinstance(node.ctx, ast.Store) and not _is_of_another(script, node, related):
            parent = script.parents[node]
            if not (isinstance(parent, ast.Attribute) and parent.attr in FILLING):
                return True
    return any(node.value == name for node in script.of_type(ast.Constant))


def _is_of_another(script: Script, node: ast.Attribute, related: set[str]) -> bool:
    """Is this `self.name` in a class that has nothing to do with the one which builds the norm."""
    owner = script.class_of(node) if isinstance(node.value, ast.Name) and node.value.id == "self" else None
    return owner is not None and owner.name not in related


def _related(script: Script, name: str) -> set[str]:
    """The class of this name, what it derives from, and what derives from it or from those, within the file."""
    found, size = {name}, 0
    while len(found) != size:
        size = len(found)
        for owner in script.of_type(ast.ClassDef):
            bases = {script.resolve(one).rpartition(".")[2] for one in owner.bases}
            if owner.name in found or bases & found:
                found |= {owner.name, *bases} - {"Module", "object"}
    return found
