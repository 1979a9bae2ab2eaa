"""What the layers of a class tell right behind its constructor: whether anything can be found in it further on."""

from __future__ import annotations

import ast

from normfix import norms
from normfix.graph import Layer, Unknown
from normfix.readers.interpreter import attributes
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import Instance
from normfix.script import FUNCTIONS


def tells_nothing(run: Run, owner: Instance, fed: bool) -> bool:
    """Is every norm here a layer norm of unknown width, with an eps of the usual kind, and used.

    `fed` tells that something may feed them that matters whatever their width.
    """
    found = [layer for layer in run.graph.layers if layer.kind in norms.NORMS]
    if any(layer.kind not in norms.LAYER or _says_something(layer) for layer in found):
        return False
    return not (found and fed) and all(_is_used(run, owner, layer) for layer in found)


def _says_something(layer: Layer) -> bool:
    width, eps = layer.arguments.get("normalized_shape"), layer.arguments.get("eps")
    if width is not None and not isinstance(width.value, Unknown):
        return True
    if eps is None or (eps.position is None and isinstance(eps.value, Unknown)):
        return False
    usual = isinstance(eps.value, float) and norms.HALF_EPS <= eps.value <= norms.UNUSUAL_EPS
    return eps.position is not None or not usual


def _is_used(run: Run, owner: Instance, layer: Layer) -> bool:
    """Does a method read the attribute that holds it, so that it is not unused; what others hold is theirs to use."""
    place, _, name = layer.name.rpartition(".")
    if place != "self" or layer.owner != run.graph.name:
        return True
    return any(
        node.attr == name and isinstance(node.ctx, ast.Load)
        for home in attributes.lineage(owner.cls)
        for method in home.node.body
        if isinstance(method, FUNCTIONS)
        for node in run.attributes(method)
    )
