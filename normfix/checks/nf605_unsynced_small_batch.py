"""NF605 unsynced-small-batch: several devices, few samples on each, and batch norms that do not talk to each other."""

import ast
from collections.abc import Iterator

from normfix.checks._feeding import FEEDING, trained_networks
from normfix.checks._loaders import Loader, batch_size, loaders
from normfix.checks._wraps import wrapper
from normfix.engine import SOURCE, Facts, Rule, on_script
from normfix.findings import Problem, Severity
from normfix.script import Script, walk
from normfix.usage.flow import aliases, reach
from normfix.usage.modules import is_unit_test
from normfix.usage.steps import Scope, dotted, scope_of, unwrapped

RULE = Rule("NF605", "unsynced-small-batch", Severity.INFO, readers=SOURCE)
SMALL = 16


@on_script(RULE, words=(*FEEDING, "DDP|FSDP|DistributedDataParallel|FullyShardedDataParallel"))
def unsynced_small_batch(script: Script, facts: Facts) -> Iterator[Problem]:
    """DistributedDataParallel over a network with plain batch norm, fed a literal handful of samples per process."""
    if (
        "DataLoader" not in script.text
        or "SyncBatchNorm" in script.text
        or "sync_batchnorm" in script.text
        or is_unit_test(script)
    ):
        return
    for wrap in script.of_type(ast.Call):
        if wrapper(script, wrap) != "DistributedDataParallel":
            continue
        size = _size(script, wrap)
        if 0 < size <= SMALL:
            yield Problem(
                script.site(wrap),
                f"`{script.source(wrap.func)}` gives each process {size} samples, and plain batch norm takes its "
                "statistics from those alone",
                help="Call `nn.SyncBatchNorm.convert_sync_batchnorm(model)` before the wrapping",
            )
            return


def _size(script: Script, wrap: ast.Call) -> int:
    """The batch size of the loaders that the wrapped network is trained on; 0 where they differ or it is unknown."""
    known = [(one, batch_size(script, one)) for one in loaders(script)]
    if not any(size is not None and 0 < size[0] <= SMALL for _, size in known):
        return 0
    sizes = {size for one, size in known if _feeds(script, one, wrap)}
    size = sizes.pop() if len(sizes) == 1 else None
    return size[0] if size is not None else 0


def _feeds(script: Script, loader: Loader, wrap: ast.Call) -> bool:
    return any(_is_wrapped(script, wrap, *network) for network in trained_networks(script, loader))


def _is_wrapped(script: Script, wrap: ast.Call, name: str, value: ast.expr, scope: Scope) -> bool:
    """Is this the network that is wrapped, under whatever name it has there."""
    if wrap in walk(value):
        return True
    here, given = scope_of(script, wrap), dotted(unwrapped(wrap))
    return any(place is here and given in aliases(place, alias) for place, alias in reach(script, scope, name))
