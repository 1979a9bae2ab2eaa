"""NF102 keras-momentum: the share to keep, as Keras and TensorFlow count it, where torch wants the share to replace."""

import ast
from collections.abc import Iterator

from normfix import norms
from normfix.checks._defaults import default_of
from normfix.checks._modes import frozen
from normfix.engine import Facts, Rule, on_layer, on_node, on_script
from normfix.findings import Problem, Safety, SetArgument, Severity
from normfix.graph import Layer, Undecided
from normfix.lazy import pattern
from normfix.script import Script
from normfix.usage.modules import BATCH_NORMS, argument, calls_with_batch_norm, layer_kind
from normfix.usage.steps import dotted

RULE = Rule("NF102", "keras-momentum", Severity.WARNING, readers={"source", "model", "onnx"})
CERTAIN, LIKELY = 0.9, 0.5
DEFAULT = pattern(r"=[ \t]*0?\.[5-9]\d*\s*(?:[,)]|#)")
WRITTEN = pattern(r"momentum(?<=\.momentum)\s*=\s*0?\.[5-9]")
"""How such a value is the default of a parameter, and how it is set on a norm that stands."""


@on_layer(RULE, norms.BATCH | norms.INSTANCE)
def keras_momentum(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """running = (1 - m) * running + m * batch: with m = 0.99 the running statistics are those of the last batch.

    1.0 is left alone: it takes over one calibration batch.
    """
    momentum, value = layer.argument("momentum"), _kept_share(layer)
    if momentum is None or value is None or not norms.updates_statistics(layer):
        return
    if facts.reader == "source" and (frozen(layer, facts) or _never_reads_them(layer)):
        return
    alike = [layer] if facts.reader != "model" else _alike(layer, value, facts)
    if alike[0] is not layer:
        return  # said of the first
    others = len(alike) - 1
    also = f" and {others} other {layer.kind} layer{'s' * (others > 1)}" if others else ""
    mended = _mended(value)
    yield Problem(
        layer.site,
        f"`{layer.name}`{also} replace{'s' * (not others)} {value:.4g} of {'their' if others else 'its'} running "
        "statistics at every batch: "
        "torch's momentum is 1 minus that of Keras",
        help=f"Write `momentum={mended}`, if the value comes from Keras or TensorFlow",
        severity=_severity(value),
        remedy=SetArgument(layer.site, "momentum", mended, position=momentum.position),
        safety=Safety.UNSAFE,
        related=[("has this momentum too", one.site) for one in alike[1:4]],
    )


@on_script(RULE, words=("BatchNorm", "mom|decay", DEFAULT))
def keras_default(script: Script, facts: Facts) -> Iterator[Problem]:
    """A batch norm that is handed a parameter whose default is such a momentum: what it has where nobody passes one."""
    for node in calls_with_batch_norm(script):
        yield from _by_default(script, node)


def _by_default(script: Script, node: ast.Call) -> Iterator[Problem]:
    kind = layer_kind(script, node)
    given = argument(node, kind, "momentum") if kind in BATCH_NORMS else None
    if not isinstance(given, ast.Name | ast.Attribute) or _is_held(script, node, kind):
        return
    found = default_of(script, given)
    share = _share(getattr(found[1], "value", None)) if found is not None else None
    if found is not None and share is not None:
        yield Problem(
            script.site(node),
            f"`{script.source(node.func)}` replaces {share:.4g} of its running statistics at every batch, as "
            f"`{found[0]}` is {share:.4g} by default: torch's momentum is 1 minus that of Keras",
            help=f"Write `{found[0]}={_mended(share)}`, if the value comes from Keras or TensorFlow",
            severity=_severity(share),
            related=[("the default", script.site(found[1]))],
        )


@on_node(RULE, ast.Assign, words=("BatchNorm", WRITTEN))
def keras_momentum_set(node: ast.Assign, facts: Facts) -> Iterator[Problem]:
    """`m.momentum = 0.99` under `isinstance(m, nn.BatchNorm2d)`, in a file that sets no other momentum."""
    script, target = facts.script, node.targets[0]
    share = _share(getattr(node.value, "value", None))
    if script is None or share is None or not isinstance(target, ast.Attribute) or target.attr != "momentum":
        return
    branch = script.around_of(node).get(node)
    if not isinstance(branch, ast.If) or node not in branch.body:
        return
    values = {ast.unparse(one.value) for one in script.of_type(ast.Assign) if _sets_momentum(one)}
    if len(values) == 1 and _holds_for_batch_norm(script, branch.test, dotted(target.value)):
        yield Problem(
            script.site(node),
            f"`{script.source(node)}` has the batch norms replace {share:.4g} of their running statistics at every "
            "batch: torch's momentum is 1 minus that of Keras",
            help=f"Write `{_mended(share)}`, if the value comes from Keras or TensorFlow",
            severity=_severity(share),
        )


def _sets_momentum(node: ast.Assign) -> bool:
    return any(isinstance(one, ast.Attribute) and one.attr == "momentum" for one in node.targets)


def _holds_for_batch_norm(script: Script, test: ast.expr, name: str) -> bool:
    """Is this `isinstance(name, nn.BatchNorm2d)`, or one of several batch norms."""
    if not isinstance(test, ast.Call) or dotted(test.func) != "isinstance" or dotted(test.args[0]) != name:
        return False
    kinds = test.args[1].elts if isinstance(test.args[1], ast.Tuple) else test.args[1:]
    return all(script.resolve(one).rpartition(".")[2].lstrip("_") in BATCH_NORMS | {"BatchNorm"} for one in kinds)


def _is_held(script: Script, node: ast.Call, kind: str) -> bool:
    """May this norm have no running statistics, or be kept in eval mode by its class."""
    tracks = argument(node, kind, "track_running_stats")
    owner = script.class_of(node)
    held = owner is not None and ".eval(" in script.text and ".eval(" in ast.unparse(owner)
    return held or not (tracks is None or getattr(tracks, "value", None) is True)


def _severity(share: float) -> Severity:
    return Severity.WARNING if share >= CERTAIN else Severity.INFO


def _mended(share: float) -> str:
    from decimal import Decimal  # costs a millisecond of start-up

    return str(1 - Decimal(repr(share)))


def _kept_share(layer: Layer) -> float | None:
    """The momentum, where it looks like the share of the running statistics to keep."""
    momentum = layer.argument("momentum")
    return _share(momentum.value) if momentum is not None else None


def _share(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if LIKELY < value < 1 else None


def _never_reads_them(layer: Layer) -> bool:
    """Is this `F.batch_norm(..., training=True)`, which normalises with the batch in every mode."""
    training = layer.argument("training") if layer.kind.islower() else None
    return training is not None and training.value is True


def _alike(layer: Layer, value: float, facts: Facts) -> list[Layer]:
    """The layers of a live model that this can be said of at once: of one kind and momentum, in order."""
    same = (one for one in facts.graph.layers if one.kind == layer.kind and _kept_share(one) == value)
    return [one for one in same if one is layer or _updates(one)]


def _updates(layer: Layer) -> bool:
    try:
        return norms.updates_statistics(layer)
    except Undecided:
        return False
