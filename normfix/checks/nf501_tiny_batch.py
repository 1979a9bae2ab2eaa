"""NF501 tiny-batch: batch norm trained on a handful of samples at a time.

ImageNet error of a ResNet-50 at 32, 16, 8, 4, 2 samples per device (Wu and He 2018): with batch norm 23.6, 23.7,
24.8, 27.3, 34.7 %; with group norm 24.1, 24.2, 24.0, 24.2, 24.1 %.
"""

from collections.abc import Iterator

from normfix import norms
from normfix.checks._feeding import FEEDING, trained_network
from normfix.checks._loaders import batch_size, loaders, unbatches
from normfix.checks._modes import example_batch, frozen
from normfix.engine import LIVE, SOURCE, Facts, Rule, on_graph, on_script
from normfix.findings import Problem, Safety, Severity, Transform
from normfix.graph import LayerGraph, Undecided
from normfix.script import Script
from normfix.usage.modules import is_unit_test

RULE = Rule("NF501", "tiny-batch", Severity.WARNING, readers=SOURCE | LIVE)
SEVERE, SMALL = 2, 8
MEASURED = ((2, 34.7), (4, 27.3), (8, 24.8))
HELP = (
    "Train with more samples per device, synchronise the norms over devices, freeze them, or use group norm "
    "(`normfix swap --to group`)"
)


@on_script(RULE, words=FEEDING)
def tiny_batch(script: Script, facts: Facts) -> Iterator[Problem | Undecided]:
    """A DataLoader with a literal batch size that a network with batch norm is trained on."""
    if "DataLoader" not in script.text or _escapes(script) or is_unit_test(script):
        return
    for loader in loaders(script):
        size, text = batch_size(script, loader) or (0, "")
        network = trained_network(script, loader) if 0 < size <= SMALL else ""
        if not network:
            continue
        if size == 1 and unbatches(script):
            yield Undecided("the data set seems to give whole batches: its samples lose their first axis again")
            continue
        yield Problem(
            script.site(loader.arguments.get("batch_size", loader.call)),
            f"`{text}` gives the batch norms of `{network}` {_samples(size)} to take their statistics from",
            help=HELP,
            severity=Severity.WARNING if size <= SEVERE else Severity.INFO,
        )


@on_graph(RULE)
def tiny_declared_batch(graph: LayerGraph, facts: Facts) -> Iterator[Problem]:
    """Batch norms of a model whose training run has few samples per device: as declared, else as in the example."""
    if facts.purpose != "training" and (facts.purpose == "inference" or facts.batch_size is None):
        return
    found = [layer for layer in graph.layers if layer.kind in norms.BATCH and not frozen(layer, facts)]
    if not found:
        return
    size = facts.batch_size if facts.batch_size is not None else example_batch(facts)
    seen = {layer: size * (facts.world_size or 1 if layer.kind in norms.SYNCHRONISED else 1) for layer in found}
    small = [layer for layer in found if 0 < seen[layer] <= SMALL]
    if not small:
        return
    first, others = small[0], len(small) - 1
    also = f" and {others} other batch norm{'s' * (others > 1)}" if others else ""
    yield Problem(
        first.site,
        f"`{first.name}`{also} would take {'their' if others else 'its'} statistics from {_samples(seen[first])} at a "
        f"time: {_evidence(seen[first])}",
        help=HELP,
        severity=Severity.WARNING if seen[first] <= SEVERE else Severity.INFO,
        remedy=Transform(first.site, "swap"),
        safety=Safety.UNSAFE,
        related=[("also takes its statistics from this batch", layer.site) for layer in small[1:4]],
    )


def _evidence(size: int) -> str:
    """What is known about the nearest batch size that was measured."""
    measured, error = next((batch, error) for batch, error in MEASURED if size <= batch)
    return f"a ResNet-50 errs {error} % on ImageNet at {measured} per device, 23.6 % at 32"


def _samples(count: int) -> str:
    return f"{count} sample{'s' * (count > 1)}"


def _escapes(script: Script) -> bool:
    """Are the norms of this file frozen, replaced or synchronised."""
    return any(word in script.text for word in ("FrozenBatchNorm", "convert_sync_batchnorm", "SyncBatchNorm"))
