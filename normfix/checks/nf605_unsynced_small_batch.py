"""NF605 unsynced-small-batch: several devices, few samples on each, and batch norms that do not talk to each other."""

import ast
from collections.abc import Iterator

from normfix.checks._loaders import batch_size, feeds_training, loaders
from normfix.checks._wraps import wrapper
from normfix.engine import SOURCE, Facts, Rule, on_script
from normfix.findings import Problem, Severity
from normfix.script import Script
from normfix.usage.networks import batch_normed_networks, contents, is_unit_test

RULE = Rule("NF605", "unsynced-small-batch", Severity.INFO, readers=SOURCE)
SMALL = 16


@on_script(RULE)
def unsynced_small_batch(script: Script, facts: Facts) -> Iterator[Problem]:
    """DistributedDataParallel over a network with plain batch norm, fed a literal handful of samples per process."""
    if (
        "DataLoader" not in script.text
        or "SyncBatchNorm" in script.text
        or "sync_batchnorm" in script.text
        or is_unit_test(script)
    ):
        return
    wraps = [call for call in script.of_type(ast.Call) if wrapper(script, call) == "DistributedDataParallel"]
    known = [] if not wraps else [batch_size(script, one) for one in loaders(script) if feeds_training(script, one)]
    sizes = {one[0] for one in known if one is not None}
    size = sizes.pop() if len(sizes) == 1 else 0
    if 0 < size <= SMALL and any(_is_plain(script, value) for _, value, _ in batch_normed_networks(script)):
        yield Problem(
            script.site(wraps[0]),
            f"`{script.source(wraps[0].func)}` gives each process {size} samples, and plain batch norm takes its "
            "statistics from those alone",
            help="Call `nn.SyncBatchNorm.convert_sync_batchnorm(model)` before the wrapping",
        )


def _is_plain(script: Script, value: ast.expr) -> bool:
    return not contents(script, value).frozen
