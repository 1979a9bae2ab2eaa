"""NF602 sync-under-data-parallel: SyncBatchNorm synchronises processes; DataParallel has one."""

import ast
from collections.abc import Iterator

from normfix import norms
from normfix.checks._exports import construction
from normfix.checks._wraps import converts, wrapper
from normfix.engine import LIVE, SOURCE, Facts, Rule, on_graph, on_script
from normfix.findings import Problem, Severity
from normfix.graph import LayerGraph
from normfix.script import Script, walk
from normfix.usage.conditions import exclusive
from normfix.usage.flow import aliases
from normfix.usage.modules import classes, layer_kind
from normfix.usage.steps import Scope, base, calls_of, dotted, position, scope_of, subject

RULE = Rule("NF602", "sync-under-data-parallel", Severity.ERROR, readers=SOURCE | LIVE)


@on_script(RULE, words=("SyncBatchNorm", "DataParallel"))
def sync_under_data_parallel(script: Script, facts: Facts) -> Iterator[Problem]:
    """A network with SyncBatchNorm that is handed to DataParallel, or converted inside it."""
    if "SyncBatchNorm" not in script.text or "DataParallel" not in script.text:
        return
    for node in calls_of(script, "DataParallel"):
        if wrapper(script, node) != "DataParallel" or not node.args:
            continue
        if _is_converted(script, scope_of(script, node), node) or _is_built_with_sync(script, node):
            yield Problem(
                script.site(node),
                f"`{script.source(node.args[0])}` holds SyncBatchNorm under `DataParallel`: its replicas share one "
                "process, so nothing is synchronised",
                help="Use DistributedDataParallel, one process for each device",
            )


@on_graph(RULE)
def sync_in_model(graph: LayerGraph, facts: Facts) -> Iterator[Problem]:
    """The same, in a live model that stands in DataParallel."""
    found = [layer for layer in graph.layers if layer.kind in norms.SYNCHRONISED]
    if found and "DataParallel" in graph.wrappers:
        more = f" and {len(found) - 1} more stand" if len(found) > 1 else " stands"
        yield Problem(
            found[0].site,
            f"`{found[0].name}`{more} under `DataParallel`: its replicas share one process, so nothing is synchronised",
            help="Use DistributedDataParallel, one process for each device",
        )


def _is_converted(script: Script, scope: Scope, node: ast.Call) -> bool:
    """Is the network converted in the same scope: in place, before, or through the wrapper afterwards."""
    inner = base(node.args[0])
    if converts(script, inner):
        return True
    name = subject(node.args[0])
    faces = aliases(scope, name) | _targets(script, node) | _converted_names(script, scope, name)
    return any(
        converts(script, call) and call.args and subject(call.args[0]) in faces and not exclusive(script, call, node)
        for call in scope.calls
    ) and not _wrapped_for_processes(script, scope, faces, node)


def _converted_names(script: Script, scope: Scope, name: str) -> set[str]:
    """Names that were converted into this one: `b` of `a = convert_sync_batchnorm(b)`."""
    values = (base(value) for value in scope.bound.get(name, ()) if value is not None)
    return {subject(one.args[0]) for one in values if isinstance(one, ast.Call) and converts(script, one) and one.args}


def _targets(script: Script, node: ast.Call) -> set[str]:
    parent = script.parents[node]
    return {dotted(one) for one in parent.targets} - {""} if isinstance(parent, ast.Assign) else set()


def _wrapped_for_processes(script: Script, scope: Scope, faces: set[str] | frozenset[str], node: ast.Call) -> bool:
    """Is the network in DistributedDataParallel before DataParallel gets it."""
    return any(
        wrapper(script, call) == "DistributedDataParallel"
        and call.args
        and subject(call.args[0]) in faces
        and position(call) < position(node)
        and not exclusive(script, call, node)
        for call in scope.calls
    )


def _is_built_with_sync(script: Script, node: ast.Call) -> bool:
    """Does the class of this file that the network is made of construct SyncBatchNorm itself."""
    value = base(node.args[0])
    name = subject(value)
    value = construction(script, scope_of(script, node), name) or value
    core = base(value)
    owner = classes(script).get(dotted(core.func)) if isinstance(core, ast.Call) else None
    return owner is not None and any(layer_kind(script, one) == "SyncBatchNorm" for one in walk(owner))
