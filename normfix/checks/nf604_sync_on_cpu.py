"""NF604 sync-on-cpu: SyncBatchNorm in training mode raises on a CPU as soon as there is a process group."""

import ast
from collections.abc import Iterator

from normfix.checks._wraps import converts
from normfix.engine import LIVE, SOURCE, Facts, Rule, on_graph, on_script
from normfix.findings import Problem, Safety, Severity, Transform
from normfix.graph import LayerGraph
from normfix.script import Script
from normfix.usage.modules import layer_kind
from normfix.usage.steps import dotted

RULE = Rule("NF604", "sync-on-cpu", Severity.INFO, readers=SOURCE | LIVE)


@on_script(RULE, words=("SyncBatchNorm", "gloo"))
def sync_on_cpu(script: Script, facts: Facts) -> Iterator[Problem]:
    """SyncBatchNorm in a file that trains over the gloo backend and names no other device than the CPU."""
    if "SyncBatchNorm" not in script.text or "gloo" not in script.text or _uses_accelerator(script):
        return
    if not any(_starts_gloo(script, call) for call in script.of_type(ast.Call)):
        return
    for call in script.of_type(ast.Call):
        if converts(script, call) or layer_kind(script, call) == "SyncBatchNorm":
            yield Problem(
                script.site(call),
                f"`{script.source(call.func)}` runs in a process group of the CPU, where it raises in training mode",
                help="Use plain batch norm on the CPU",
            )


def _uses_accelerator(script: Script) -> bool:
    return any(word in script.text for word in ("cuda", "nccl", "xpu", "hpu", "npu", "musa", "device_ids"))


def _starts_gloo(script: Script, call: ast.Call) -> bool:
    values = [*call.args, *(one.value for one in call.keywords)]
    return dotted(call.func).endswith("init_process_group") and any(
        getattr(value, "value", None) == "gloo" for value in values
    )


@on_graph(RULE)
def sync_for_inference(graph: LayerGraph, facts: Facts) -> Iterator[Problem]:
    """SyncBatchNorm layers of a live model on the CPU; source does not tell where a model will run."""
    if facts.reader == "source":
        return
    found = [layer for layer in graph.layers if layer.kind in ("SyncBatchNorm", "timm.SyncBatchNormAct")]
    if not found or any(tensor.device not in ("cpu", "") for layer in found for tensor in layer.state.values()):
        return
    also = f" and {len(found) - 1} more" if len(found) > 1 else ""
    inference = facts.purpose == "inference"
    yield Problem(
        found[0].site,
        f"`{found[0].name}`{also} synchronises over devices, and the model is on the CPU: in training mode "
        + ("it raises there; for inference it is plain batch norm" if inference else "it raises there"),
        help="Turn it into plain batch norm (`normfix swap --to batch`)",
        severity=Severity.WARNING if inference else Severity.INFO,
        remedy=Transform(found[0].site, "swap"),
        safety=Safety.UNSAFE,
    )
