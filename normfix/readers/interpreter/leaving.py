"""What the layers of a class tell right behind its constructor: whether anything can be found in it further on."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from normfix import norms
from normfix.graph import Argument, Layer, Unknown
from normfix.readers.clashing import may_clash
from normfix.readers.interpreter import classes
from normfix.readers.interpreter.joining import children, flat
from normfix.readers.interpreter.kinds import constructed
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import (
    Choice,
    Class,
    Container,
    Dotted,
    Function,
    Instance,
    Items,
    Partial,
    Table,
    Value,
)
from normfix.readers.siblings import FOREIGN
from normfix.script import FUNCTIONS
from normfix.vocabulary import CONVOLUTIONS, TRANSPOSED_CONVOLUTIONS

_WIDTHS = ("normalized_shape", "num_channels", "normalization_shape")
"""What the width of a layer norm is called."""
_KNOWN = FOREIGN | {"builtins", "math"}
"""Packages of which is known what makes a norm."""
_MADE = ("out_channels", "out_features", "embedding_dim", "hidden_size")
"""What the width is called that a layer makes."""
_CONVOLUTIONS = CONVOLUTIONS | TRANSPOSED_CONVOLUTIONS


def tells_nothing(run: Run, owner: Instance, fed: bool) -> bool:
    """Is every norm here a layer norm of unknown width, with an eps of the usual kind, used, and fed by nothing.

    What is fed matters behind a convolution whose channels are written as its width is, behind another layer whose
    width is written with the same names and yet otherwise, and behind one whose weight is bounded; `fed` tells that
    code behind the constructor may make such.
    """
    found = [layer for layer in run.graph.layers if layer.kind in norms.NORMS]
    if any(layer.kind not in norms.LAYER or _says_something(layer) for layer in found):
        return False
    if found and (fed or any(_may_matter_before(layer, found) for layer in run.graph.layers)):
        return False
    return not _keeps_classes(owner) and all(_is_used(run, owner, layer) for layer in found)


def _says_something(layer: Layer) -> bool:
    width, eps = _width(layer), layer.arguments.get("eps")
    if width is not None and (not isinstance(width.value, Unknown) or width.text.startswith(("(", "["))):
        return True
    if eps is None or (eps.position is None and isinstance(eps.value, Unknown)):
        return False
    usual = isinstance(eps.value, float) and norms.HALF_EPS <= eps.value <= norms.UNUSUAL_EPS
    return eps.position is not None or not usual


def _width(norm: Layer) -> Argument | None:
    return next((norm.arguments[name] for name in _WIDTHS if name in norm.arguments), None)


def _may_matter_before(layer: Layer, found: Sequence[Layer]) -> bool:
    """Is there a rule about this layer and a layer norm behind it, whose width is not known."""
    made = next((layer.arguments[name] for name in _MADE if name in layer.arguments), None)
    if "spectral_norm" in layer.wrappers or made is None:
        return "spectral_norm" in layer.wrappers
    widths = [width.text for norm in found if (width := _width(norm)) is not None]
    return may_clash(made.text, widths, convolves=layer.kind in _CONVOLUTIONS)


def _keeps_classes(owner: Instance) -> bool:
    """Does an attribute hold something that makes layers once it is called, or that may."""
    stack: list[Value] = [owner]
    seen: set[int] = set()
    while stack:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, (Class, Function, Partial)) or (isinstance(one, Dotted) and _may_make(one.name)):
            return True
        if isinstance(one, Instance):
            stack += one.content.values()
        elif isinstance(one, (Items, Table, Choice)):
            stack += children(one)
        elif isinstance(one, Container):
            stack += flat(one.items.content)
    return False


def _may_make(name: str) -> bool:
    return constructed(name) is not None or name.partition(".")[0] not in _KNOWN


def _is_used(run: Run, owner: Instance, layer: Layer) -> bool:
    """Does a method read the attribute that holds it, so that it is not unused; what others hold is theirs to use."""
    place, _, name = layer.name.rpartition(".")
    if place != "self" or layer.owner != run.graph.name:
        return True
    return any(
        node.attr == name and isinstance(node.ctx, ast.Load)
        for home in classes.lineage(owner.cls)
        for method in home.node.body
        if isinstance(method, FUNCTIONS)
        for node in run.attributes(method)
    )
