"""NF601 late-sync-conversion: convert_sync_batchnorm after the network was wrapped or compiled."""

import ast
from collections.abc import Iterator

from normfix.checks._wraps import converts, wrapped_before
from normfix.engine import SOURCE, Facts, Rule, on_node
from normfix.findings import Problem, Severity
from normfix.steps import scope_of

RULE = Rule("NF601", "late-sync-conversion", Severity.ERROR, readers=SOURCE)


@on_node(RULE, ast.Call)
def late_sync_conversion(node: ast.Call, facts: Facts) -> Iterator[Problem]:
    """A conversion to SyncBatchNorm of a network that is already in DistributedDataParallel or torch.compile."""
    script = facts.script
    if script is None or "convert_sync_batchnorm" not in script.text or not converts(script, node) or not node.args:
        return
    found = wrapped_before(script, scope_of(script, node), node.args[0], node)
    if found is None or found[0] == "DataParallel":
        return
    how, where = found
    text = script.source(node.args[0])
    yield Problem(
        script.site(node),
        f"`{text}` is converted after `{how}` took it: what was set up for the old batch norms (hooks, buckets, "
        "compiled code) does not know the new ones",
        help=f"Call `convert_sync_batchnorm` before `{how}`",
        related=[("wrapped here", script.site(where))],
    )
