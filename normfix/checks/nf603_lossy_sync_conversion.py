"""NF603 lossy-sync-conversion: `convert_sync_batchnorm` on batch norms that do more than batch norm."""

import ast
from collections.abc import Iterator

from normfix import norms
from normfix.checks._exports import construction
from normfix.checks._wraps import converts
from normfix.engine import LIVE, SOURCE, Facts, Rule, on_graph, on_script
from normfix.findings import Problem, Severity
from normfix.graph import Layer, LayerGraph
from normfix.script import FUNCTIONS, Script, walk
from normfix.usage.modules import BATCH_NORMS, classes, layer_kind
from normfix.usage.networks import reached
from normfix.usage.steps import base, calls_of, dotted, scope_of, subject

RULE = Rule("NF603", "lossy-sync-conversion", Severity.ERROR, readers=SOURCE | LIVE)


@on_script(RULE, words=("convert_sync_batchnorm",))
def lossy_sync_conversion(script: Script, facts: Facts) -> Iterator[Problem]:
    """A conversion of a network whose batch norms are subclasses with more in them, or are still lazy."""
    if "convert_sync_batchnorm" in script.text:
        for call in calls_of(script, "convert_sync_batchnorm"):
            if converts(script, call) and call.args:
                yield from _judged(script, call)


@on_graph(RULE)
def left_by_the_conversion(graph: LayerGraph, facts: Facts) -> Iterator[Problem]:
    """A layer of a live model whose weight is that of a SyncBatchNorm: it had two names, and one was converted."""
    converted = {layer.state["weight"].names: layer for layer in graph.layers if _is_converted(layer)}
    for layer in graph.layers:
        other = converted.get(layer.state["weight"].names) if "weight" in layer.state else None
        if other is not None and other is not layer and layer.kind not in norms.SYNCHRONISED:
            yield Problem(
                layer.site,
                f"`{layer.name}` is no SyncBatchNorm, and shares its weight with `{other.name}`, which is: one layer "
                "under two names, of which `convert_sync_batchnorm` sees the first",
                help="Convert with `normfix swap --to sync_batch`, which keeps every name of a layer",
            )


def _is_converted(layer: Layer) -> bool:
    return layer.kind in norms.SYNCHRONISED and "weight" in layer.state


def _judged(script: Script, node: ast.Call) -> Iterator[Problem]:
    core = base(node.args[0])
    value = construction(script, scope_of(script, node), subject(core)) if subject(core) else core
    value = base(value) if value is not None else None
    if isinstance(value, ast.Call) and (reason := _loss(script, value)):
        yield Problem(
            script.site(node),
            f"`{script.source(node.args[0])}` {reason}",
            help="Convert with the library's own converter, or with `normfix swap --to sync_batch`",
        )


def _loss(script: Script, value: ast.Call) -> str:
    """What the conversion of a network that is built so would lose; "" where nothing is known to be lost."""
    name = script.resolve(value.func)
    if name.startswith("timm.") and "create_model" in name and _holds_activations(value):
        return (
            "is a timm model whose batch norms hold their activations (`BatchNormAct2d`): the conversion makes plain "
            "SyncBatchNorm of them, and the activations are gone"
        )
    owner = classes(script).get(dotted(value.func))
    for part in reached(script, owner) if owner is not None else ():
        if isinstance(part, ast.ClassDef) and _extends_batch_norm(script, part):
            return (
                f"holds `{part.name}`, a batch norm with its own `forward`: the conversion makes plain SyncBatchNorm "
                "of it, and what it does besides is gone"
            )
        activated = next((name for name in _called(script, part) if name.startswith("timm.") and "Act" in name), "")
        if activated.rpartition(".")[2] in ("BatchNormAct2d", "SyncBatchNormAct"):
            return (
                f"holds `{activated.rpartition('.')[2]}`, a batch norm with its activation: the conversion makes plain "
                "SyncBatchNorm of it, and the activation is gone"
            )
        if any(layer_kind(script, node).startswith("LazyBatchNorm") for node in walk(part)):
            return "holds a LazyBatchNorm that has no width yet: the conversion makes a norm of width 0 of it"
    return ""


def _called(script: Script, part: ast.AST) -> Iterator[str]:
    return (script.resolve(node.func) for node in walk(part) if isinstance(node, ast.Call))


def _extends_batch_norm(script: Script, owner: ast.ClassDef) -> bool:
    bases = {script.resolve(one).rpartition(".")[2] for one in owner.bases}
    return bool(bases & BATCH_NORMS) and any(isinstance(one, FUNCTIONS) and one.name == "forward" for one in owner.body)


def _holds_activations(value: ast.Call) -> bool:
    """Is it one of the timm families that build on BatchNormAct2d throughout."""
    first = (
        value.args[0] if value.args else next((one.value for one in value.keywords if one.arg == "model_name"), None)
    )
    name = str(getattr(first, "value", ""))
    families = (
        "efficientnet",
        "tf_efficientnet",
        "mobilenetv3",
        "mobilenetv2",
        "regnet",
        "densenet",
        "mnasnet",
        "cspresnet",
    )
    return name.startswith(families)
