"""NF504 checkpointed-norm: activation checkpointing runs the forward twice, and so updates running statistics twice.

Two updates with momentum m are one with 1 - (1 - m)^2; the momentum 1 - sqrt(1 - m) makes up for it.
"""

import ast
from collections.abc import Iterator

from normfix import norms
from normfix.checks._attributes import normed_attributes
from normfix.checks._modes import trains
from normfix.checks._spelled import called
from normfix.engine import LIVE, SOURCE, Facts, Rule, on_graph, on_script
from normfix.findings import Problem, Safety, Severity
from normfix.graph import Layer, LayerGraph
from normfix.lazy import pattern
from normfix.script import Script, walk
from normfix.usage.modules import is_torch_class, is_unit_test
from normfix.usage.parts import holding
from normfix.usage.steps import calls_of, dotted, functions, scope_of

RULE = Rule("NF504", "checkpointed-norm", Severity.WARNING, readers=SOURCE | LIVE | {"state"})
CHECKPOINT = "torch.utils.checkpoint."
SPELLED_OUT = pattern(r"checkpoint(?:[\s\\]|#[^\n]*\n)*\.(?:[\s\\]|#[^\n]*\n)*checkpoint")
"""`checkpoint.checkpoint`, through a package that holds it."""
CALLED = called("checkpoint", "checkpoint_sequential")
"""More than the import of a module, which is all that many files do with it."""
AWARE = pattern(r"momentum.*sqrt|-\s*(?:\w+\.)?sqrt|FrozenBatchNorm|momentum=None|patch_batchnorm|BatchNormAux")
"""Words of code that makes up for the second update, or does not have it."""


HELP = "Set the momentum of these norms to `1 - sqrt(1 - m)`, or leave them out of the checkpoint"


@on_script(RULE, words=("checkpoint", "torch", "utils", CALLED))
def checkpointed_norm(script: Script, facts: Facts) -> Iterator[Problem]:
    """`torch.utils.checkpoint` over a part of a module that holds batch norm."""
    if not _may_call(script) or is_unit_test(script) or AWARE.search(script.text):
        return
    for node in calls_of(script, "checkpoint", "checkpoint_sequential"):
        known = node.args and script.resolve(node.func).startswith(CHECKPOINT)
        name = _normed_part(script, node, node.args[0]) if known else ""
        if not name:
            continue
        from normfix.remedies.slowed import is_slowed, slowed

        if is_slowed(script, node, name):
            continue
        # The last segment of `checkpoint_sequential` is run once.
        remedy = slowed(script, node, name) if script.resolve(node.func).endswith(".checkpoint") else None
        yield Problem(
            script.site(node),
            f"`{name}` holds batch norm and is checkpointed: the backward pass runs it again, so its running "
            "statistics are updated twice in each step",
            help=HELP,
            remedy=remedy,
            safety=Safety.UNSAFE if remedy else Safety.DISPLAY,
        )


def _may_call(script: Script) -> bool:
    """Is a function of `torch.utils.checkpoint` imported, or spelled out: few of the files that say "checkpoint"."""
    imported = any(f"{meaning}.".startswith(CHECKPOINT) for meaning in script.imports.values())
    return imported or SPELLED_OUT.search(script.text) is not None


@on_graph(RULE)
def checkpointed_in_model(graph: LayerGraph, facts: Facts) -> Iterator[Problem]:
    """Batch norms of a live model that train, and that its forward ran inside `torch.utils.checkpoint`."""
    found = [
        layer
        for layer in graph.layers
        if layer.recomputed
        and layer.kind in norms.BATCH
        and trains(layer, facts)
        and norms.updates_statistics(layer)
        and not _makes_up(layer)
    ]
    if found:
        more = f" and {len(found) - 1} more are" if len(found) > 1 else " is"
        yield Problem(
            found[0].site,
            f"`{found[0].name}`{more} checkpointed: the backward pass runs it again, so its running statistics are "
            "updated twice in each step",
            help=HELP,
        )


def _makes_up(layer: Layer) -> bool:
    """Is the momentum a mean over all batches, or 1 - sqrt(1 - m) for a round m."""
    momentum = layer.value("momentum")
    if not isinstance(momentum, (int, float)):
        return True
    meant = 1 - (1 - momentum) ** 2
    return momentum != round(momentum, 3) and abs(meant - round(meant, 3)) < 1e-6


@on_graph(RULE)
def counted_twice(graph: LayerGraph, facts: Facts) -> Iterator[Problem]:
    """Norms of a checkpoint that counted exactly twice the batches that all others did."""
    if facts.reader != "state":
        return
    counts: dict[float, list[Layer]] = {}
    for layer in graph.layers:
        counter = layer.state.get("num_batches_tracked")
        if counter is not None and counter.shape == ():
            counts.setdefault(counter.values()[0], []).append(layer)
    if len(counts) == 2 and max(counts) == 2 * min(counts) > 0:
        twice = counts[max(counts)]
        more = f" and {len(twice) - 1} more" if len(twice) > 1 else ""
        yield Problem(
            twice[0].site,
            f"`{twice[0].name}`{more} counted {max(counts):,.0f} batches, all others half of that: the forward pass "
            "ran them twice in each step, as activation checkpointing does, or a norm that is called at two places",
            help=HELP,
            severity=Severity.INFO,
        )


def _normed_part(script: Script, node: ast.Call, target: ast.expr) -> str:
    """The attribute or name with batch norm that a checkpointed function runs; "" where none is seen."""
    owner = script.class_of(node)
    normed = normed_attributes(script, owner) if owner is not None and is_torch_class(script, owner) else set()
    name = dotted(target)
    if name in normed:
        return name
    if name and "." not in name:
        for loop in script.ancestors(node, ast.For):
            held = {dotted(one) for one in walk(loop.iter)}
            if name in {dotted(one) for one in walk(loop.target)} and held & normed:
                return sorted(held & normed)[0]
        scope = scope_of(script, node)
        value = scope.value(name)
        if value is not None and holding(script, scope, value).batch_norm:
            return name
    body = _body(script, node, target)
    used = {dotted(one.func) for part in body for one in walk(part) if isinstance(one, ast.Call)} - {""}
    scope = scope_of(script, node)
    local = {one for one in used if "." not in one and holding(script, scope, scope.value(one)).batch_norm}
    return next((one for one in sorted(normed | local) if one in used), "")


def _body(script: Script, node: ast.Call, target: ast.expr) -> list[ast.AST]:
    """The code of a lambda, a local function or a method that is checkpointed, and of the methods that it calls."""
    name = dotted(target)
    if isinstance(target, ast.Lambda):
        return [target.body]
    owner = script.class_of(node)
    own = [one for one in functions(script) if script.class_of(one) is owner]
    found: list[ast.AST] = [one for one in own if one.name == name.removeprefix("self.")]
    value = scope_of(script, node).value(name) if name else None
    if isinstance(value, ast.Lambda):
        found.append(value)
    called = {dotted(one.func) for part in found for one in walk(part) if isinstance(one, ast.Call)}
    return found + [one for one in own if f"self.{one.name}" in called]
