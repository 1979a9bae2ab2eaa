"""Does code see to batches of one sample, which batch norm over one position cannot take."""

import ast

from normfix.graph import Layer
from normfix.lazy import pattern
from normfix.script import Script, walk
from normfix.usage.steps import dotted

BATCH_SIZE = pattern(r"batch_?size|batchsize|\bbsz?\b")


def sees_to_single_samples(layer: Layer, script: Script) -> bool:
    """Does the class of this layer look whether there is one sample, or build the layer by the size of the batch."""
    owners = (one for one in script.of_type(ast.ClassDef) if one.name == layer.owner)
    return any(_counts_samples(one) for owner in owners for one in walk(owner)) or _is_built_by_size(layer, script)


def _counts_samples(node: ast.AST) -> bool:
    """Is this `x.size(0) == 1`, `x.shape[0] > 1`, `len(x) < 2`."""
    if not isinstance(node, ast.Compare) or len(node.comparators) != 1:
        return False
    sides = (node.left, node.comparators[0])
    return any(_is_samples(one) for one in sides) and any(
        isinstance(one, ast.Constant) and one.value in (1, 2) for one in sides
    )


def _is_samples(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        name = dotted(node.func).rpartition(".")[2]
        first = node.args[0] if len(node.args) == 1 else None
        return name == "len" or (name == "size" and isinstance(first, ast.Constant) and first.value == 0)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute) and node.value.attr == "shape":
        return isinstance(node.slice, ast.Constant) and node.slice.value == 0
    return BATCH_SIZE.search(dotted(node).lower()) is not None


def _is_built_by_size(layer: Layer, script: Script) -> bool:
    origin = layer.site.origin
    if origin is None:
        return False
    around: list[ast.IfExp | ast.If] = [*script.of_type(ast.IfExp), *script.of_type(ast.If)]
    tests = [one.test for one in around if one.lineno <= origin.line <= (one.end_lineno or one.lineno)]
    return any(_counts_samples(one) for test in tests for one in walk(test))
