"""Norms that a `functools.partial` prepares for code outside the file: `norm_layer=partial(nn.BatchNorm2d, ...)`.

Where the partial is called in the file itself, the layer stands in the graph of what calls it.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from normfix import norms
from normfix.graph import Argument, Layer, LayerGraph, Unknown
from normfix.lazy import pattern
from normfix.readers.interpreter.construction import plain
from normfix.readers.interpreter.kinds import constructed
from normfix.readers.interpreter.scopes import literal
from normfix.readers.interpreter.values import Scope
from normfix.script import Script, walk

_TELLING = pattern(
    r"partial\(\s*(?:[\w.]*(?:Batch|Instance)Norm|\w*(?:BN|bn)\b|[\w.]*Norm\w*\s*,[^()]*\beps\s*=\s*(?!\d+e-))"
)
"""A partial of a norm that has something to tell: its momentum, or an eps that is not the usual one."""
_OPEN = Unknown("a partial is given the other arguments when it is called")
_ELSEWHERE = Unknown("it is constructed where the partial is called")


def may_prepare(text: str) -> bool:
    """Is there a partial of a norm in this source of which rules may say something."""
    return _TELLING.search(text) is not None


def prepared(script: Script, scope: Scope, graphs: Sequence[LayerGraph]) -> LayerGraph:
    """The norms of the partials of a file that nothing in it calls."""
    built = {argument.origin for graph in graphs for layer in graph.layers for argument in layer.arguments.values()}
    found = LayerGraph("a partial")
    for node in walk(script.tree):
        if isinstance(node, ast.Call) and len(node.args) == 1 and script.resolve(node.func) == "functools.partial":
            kind = constructed(script.resolve(node.args[0])) or ""
            layer = _layer(script, scope, node, kind) if kind in norms.NORMS else None
            if layer is not None and built.isdisjoint(one.origin for one in layer.arguments.values()):
                found.layers.append(layer)
    return found


def _layer(script: Script, scope: Scope, node: ast.Call, kind: str) -> Layer | None:
    arguments = {
        one.arg: Argument(plain(literal(one.value, scope)), script.source(one.value), None, script.origin_of(one.value))
        for one in node.keywords
        if one.arg
    }
    if len(arguments) < len(node.keywords) or not arguments:
        return None
    # What is not given here is given by few, but for the one argument that all need.
    return Layer(kind, kind, script.site(node), arguments, _OPEN if kind in norms.RMS else None, escapes=_ELSEWHERE)
