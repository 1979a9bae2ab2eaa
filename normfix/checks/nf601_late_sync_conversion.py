"""NF601 late-sync-conversion: convert_sync_batchnorm after the network was wrapped."""

import ast
from collections.abc import Iterator

from normfix.checks._wraps import converts, wrapped_before
from normfix.engine import SOURCE, Facts, Rule, on_script
from normfix.findings import Problem, Severity
from normfix.script import Script
from normfix.usage.steps import calls_of, scope_of

RULE = Rule("NF601", "late-sync-conversion", Severity.ERROR, readers=SOURCE)


@on_script(RULE)
def late_sync_conversion(script: Script, facts: Facts) -> Iterator[Problem]:
    """A conversion to SyncBatchNorm of a network that is already in DistributedDataParallel.

    `torch.compile` compiles at the first pass, and anew once the modules have changed.
    """
    if "convert_sync_batchnorm" in script.text:
        for call in calls_of(script, "convert_sync_batchnorm"):
            if converts(script, call) and call.args:
                yield from _judged(script, call)


def _judged(script: Script, node: ast.Call) -> Iterator[Problem]:
    found = wrapped_before(script, scope_of(script, node), node.args[0], node)
    if found is None or found[0] != "DistributedDataParallel":
        return
    how, where = found
    text = script.source(node.args[0])
    yield Problem(
        script.site(node),
        f"`{text}` is converted after `{how}` took it: what was set up for the old batch norms (hooks, buckets) "
        "does not know the new ones",
        help=f"Call `convert_sync_batchnorm` before `{how}`",
        related=[("wrapped here", script.site(where))],
    )
