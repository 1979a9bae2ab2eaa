"""A parsed source file -> one layer graph for each class, function and top level that builds layers.

Nothing is imported or executed: the interpreter beside this file follows values through the syntax tree.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from normfix.graph import LayerGraph
from normfix.readers.brevity import Brevity
from normfix.readers.naming import calls_others, says_norm
from normfix.readers.reaching import Definition, Reach, definitions, library_names
from normfix.script import FUNCTIONS, Script, walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from normfix.readers.interpreter.memo import Memo


def graphs(script: Script, whole: bool = True) -> list[LayerGraph]:
    """The layer graphs of a file; none where it builds no layers or names no norm.

    Unless the `whole` of them is wanted, those are left out in which no rule can find anything; `script.further` gives
    the ones among them in which code that matters is used.

    Blocks that it imports from files beside it are found through `script.sibling`.
    """
    if not library_names(script) or not says_norm(script.text):
        return []
    from normfix.readers.interpreter.memo import Memo

    memo = Memo()
    reach = Reach(script, definitions(script), () if whole else _plain(script.text))
    relevant = _relevant(script, reach)
    memo.read.update(relevant)
    memo.naming.update(node for node, naming in relevant.items() if naming)
    leading = reach.leading(relevant, memo.naming, whole)
    if whole:
        leading |= reach.sharing(leading)
    else:
        brevity = Brevity(reach)
        memo.brief.update({node: brevity.feeds_late(node) for node in leading if brevity.may_leave(node)})
    found = _each([node for node in relevant if node in leading], script, reach, memo)
    if not whole:
        script.further = lambda: _further(leading, found, script, reach, memo)
    graphs = [*found.values(), *_at_top_level(script, reach, memo)]
    graphs += _prepared(script, memo, graphs)
    return [graph for graph in graphs if not _is_empty(graph)]


def _plain(text: str) -> Collection[str]:
    """The classes of whose norms no rule has anything to say; beside other norms it saves less than it costs."""
    if "LayerNorm" not in text or calls_others(text):
        return ()
    from normfix.readers.plain_norms import plain_classes

    return plain_classes(text)


def _read(node: Definition, script: Script, memo: Memo) -> LayerGraph:
    from normfix.readers.interpreter.entries import read_block, read_class
    from normfix.readers.interpreter.values import Class, Function

    if isinstance(node, ast.ClassDef):
        return read_class(Class(node, memo.scope_of(node, script)), memo)
    scope = memo.module_of(script)
    return read_block(node.name, node.body, scope, memo, Function(node, scope))


def _each(nodes: Iterable[Definition], script: Script, reach: Reach, memo: Memo) -> dict[Definition, LayerGraph]:
    return {node: _read(node, script, memo) for node in nodes if _may_build(node, script, reach)}


def _further(
    leading: Collection[Definition],
    found: Mapping[Definition, LayerGraph],
    script: Script,
    reach: Reach,
    memo: Memo,
) -> list[LayerGraph]:
    """The graphs of those that share code with one that leads to a norm, where they were not or not fully read."""
    memo.brief.clear()
    sharing = reach.sharing(leading, whole=False)
    left = [node for node in reach.used if node in sharing and (node not in found or _is_empty(found[node]))]
    return list(_each(left, script, reach, memo).values())


def _at_top_level(script: Script, reach: Reach, memo: Memo) -> Iterator[LayerGraph]:
    statements = [node for node in script.tree.body if not isinstance(node, (*FUNCTIONS, ast.ClassDef))]
    if any(_builds(statement, script, reach) for statement in statements):
        from normfix.readers.interpreter.entries import read_block

        yield read_block("the top level", statements, memo.module_of(script), memo)


def _prepared(script: Script, memo: Memo, graphs: Sequence[LayerGraph]) -> Iterator[LayerGraph]:
    """The norms of partials that none of these graphs calls."""
    if "partial" in script.text and "functools.partial" in script.imports.values():
        from normfix.readers.partials import may_prepare, prepared

        if may_prepare(script.text):
            yield prepared(script, memo.module_of(script), [*graphs, *script.further()])


def _is_empty(graph: LayerGraph) -> bool:
    return not graph.layers and not graph.calls


def _may_build(node: Definition, script: Script, reach: Reach) -> bool:
    return (isinstance(node, ast.ClassDef) and _is_module(node)) or _builds(node, script, reach)


def _builds(block: ast.stmt, script: Script, reach: Reach) -> bool:
    """Does this code itself construct layers of a library."""
    if not reach.may_call_library(block):
        return False
    return any(
        isinstance(node, ast.Call) and script.resolve(node.func).startswith(("torch.nn.", "timm.", "torchvision.ops."))
        for node in walk(block)
    )


def _is_module(node: ast.ClassDef) -> bool:
    """May this be a class of layers: it has bases, and a forward or a constructor."""
    methods = {statement.name for statement in node.body if isinstance(statement, FUNCTIONS)}
    return bool(node.bases) and not methods.isdisjoint({"forward", "__init__"})


def _relevant(script: Script, reach: Reach) -> dict[Definition, bool]:
    """Top-level classes and functions that name a norm (True), and those that use one of them (False).

    A block of the file is followed from the class that uses it, one level deep: further away nothing is decided.
    """
    own = [node for node in reach.texts if isinstance(node, (ast.ClassDef, *FUNCTIONS))]
    norms = {alias for alias, dotted in script.imports.items() if says_norm(dotted)}
    naming = {node: says_norm(reach.texts[node]) or reach.mentions(node, norms) for node in own}
    direct = {node.name for node in own if naming[node]}
    return {node: naming[node] for node in own if naming[node] or reach.mentions(node, direct)}
