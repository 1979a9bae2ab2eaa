"""NF601 late-sync-conversion: convert_sync_batchnorm after the network was wrapped."""

import ast
from collections.abc import Iterator

from normfix.checks._wraps import converts, wrapped_before
from normfix.engine import SOURCE, Facts, Rule, on_script
from normfix.findings import InsertStatement, Problem, Remedy, RemoveStatement, Safety, Severity, Together
from normfix.script import Script
from normfix.usage.steps import calls_of, dotted, scope_of, subject

RULE = Rule("NF601", "late-sync-conversion", Severity.ERROR, readers=SOURCE)


@on_script(RULE, words=("convert_sync_batchnorm",))
def late_sync_conversion(script: Script, facts: Facts) -> Iterator[Problem]:
    """A conversion to SyncBatchNorm of a network that is already in DistributedDataParallel.

    `torch.compile` compiles at the first pass, and anew once the modules have changed.
    """
    for call in calls_of(script, "convert_sync_batchnorm"):
        if converts(script, call) and call.args:
            yield from _judged(script, call)


def _judged(script: Script, node: ast.Call) -> Iterator[Problem]:
    found = wrapped_before(script, scope_of(script, node), node.args[0], node)
    if found is None or found[0] != "DistributedDataParallel":
        return
    how, where = found
    text = script.source(node.args[0])
    remedy = _earlier(script, node, where)
    yield Problem(
        script.site(node),
        f"`{text}` is converted after `{how}` took it: what was set up for the old batch norms (hooks, buckets) "
        "does not know the new ones",
        help=f"Call `convert_sync_batchnorm` before `{how}`",
        remedy=remedy,
        safety=Safety.UNSAFE if remedy else Safety.DISPLAY,
        related=[("wrapped here", script.site(where))],
    )


def _earlier(script: Script, node: ast.Call, where: ast.Call) -> Remedy | None:
    """The conversion moved before the wrapping, where both give one name to one network, in the same block."""
    wrapping, conversion = script.parents[where], script.parents[node]
    if not isinstance(wrapping, ast.Assign) or not isinstance(conversion, ast.Assign):
        return None
    name = dotted(node.args[0])
    targets = [dotted(one) for one in (*wrapping.targets, *conversion.targets)]
    alone = len(node.args) == 1 and not node.keywords and subject(where.args[0]) == name
    if not name or targets != [name, name] or not alone or not _in_one_block(script, wrapping, conversion):
        return None
    parts = (
        InsertStatement(script.site(wrapping), script.source(conversion)),
        RemoveStatement(script.site(conversion)),
    )
    return Together(script.site(node), parts)


def _in_one_block(script: Script, first: ast.stmt, last: ast.stmt) -> bool:
    parent = script.parents[first]
    blocks = [getattr(parent, name, []) for name in ("body", "orelse", "finalbody")]
    return any(first in block and last in block for block in blocks)
