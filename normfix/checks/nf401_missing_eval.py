"""NF401 missing-eval: a model is exported, or evaluated, while it is still in training mode.

Sure, and on by default: a trace or export of a model that the same function builds and never puts in eval mode; an
evaluation of a model with loaded weights, or with gradients switched off for good, whose file never calls eval() on it.
`missing-eval = "broad"` adds every forward pass without gradients whose model is not seen to be in eval mode.
"""

import ast
from collections.abc import Iterator

from normfix import norms, vocabulary
from normfix.checks._evaluations import Evaluation, evaluations, judge
from normfix.checks._exports import EXPORTING, Export, construction, exports, fresh, keeper, loads_weights, own_mode
from normfix.checks._validations import validations
from normfix.engine import LIVE, SOURCE, Facts, Rule, on_graph, on_script
from normfix.findings import InsertStatement, Problem, Safety, Severity
from normfix.graph import Layer, LayerGraph, Undecided
from normfix.lazy import pattern
from normfix.script import Script
from normfix.usage.flow import effects
from normfix.usage.modules import classes, is_torch_class, is_unit_test
from normfix.usage.steps import Scope, dotted, loops, position, unwrapped

RULE = Rule("NF401", "missing-eval", Severity.WARNING, readers=SOURCE | LIVE, settings=("sure", "broad"))
WEIGHTS = (
    pattern(r"\.load_state_dict(?<!super\(\)\.load_state_dict)\s*\("),
    pattern(r"set_grad_enabled\s*\(\s*(?:\w+\s*=\s*)?[FN0'\"]"),
    *(pattern(rf"{name}(?<!\w{name})\s*=(?!=)") for name in ("pretrained", "weights")),
    *(pattern(rf"{name}\w*\(\s*True\b") for name in ("net", "inception_v", "vgg", "resnext")),
)
"""What a model that is evaluated for sure is given, or has switched off."""


@on_script(RULE, words=EXPORTING)
def export_without_eval(script: Script, facts: Facts) -> Iterator[Problem | Undecided]:
    """A trace or export of a model that this function builds and never puts in eval mode."""
    if is_unit_test(script):
        return
    for export in exports(script):
        try:
            found = not _chooses_mode(export.call) and _is_fresh(script, export)
        except Undecided as undecided:
            yield undecided
            continue
        if found:
            name = export.name or script.source(export.model)
            yield Problem(
                script.site(export.call),
                f"`{name}` is still in training mode at this export: `eval()` is never called on it after it is built",
                help=f"Call `{name}.eval()` before the export",
                remedy=InsertStatement(script.site(export.call), f"{name}.eval()") if export.name else None,
                safety=Safety.UNSAFE if export.name else Safety.DISPLAY,
            )


def _is_fresh(script: Script, export: Export) -> bool:
    if not export.name:
        return own_mode(export.model) is None and fresh(script, export.model, False) is not None
    modes = effects(script, export.scope, export.name)
    if not all(_comes_later(script, one, export) for one in (*modes.evals, *modes.trains)):
        return False
    home = keeper(script, export.scope, export.name)
    value = construction(script, home, export.name)
    if value is None:
        return False
    if fresh(script, value, loads_weights(home, export.name)) is None and not _holds_fresh(script, export, home, value):
        return False
    if modes.unclear:
        raise Undecided(f"the mode of `{export.name}` at its export is not known: {modes.unclear[0]}")
    return True


def _holds_fresh(script: Script, export: Export, home: Scope, value: ast.expr) -> bool:
    """Is this `Wrapper(net)`, a class of the file around one network that is built here and in training mode."""
    core = unwrapped(value)
    owner = classes(script).get(dotted(core.func)) if isinstance(core, ast.Call) else None
    if not isinstance(core, ast.Call) or owner is None or own_mode(value) is not None:
        return False
    names = [name for one in core.args if (name := dotted(one)) and home.value(name) is not None]
    if len(names) != 1 or not is_torch_class(script, owner):
        return False
    modes, built = effects(script, home, names[0]), construction(script, home, names[0])
    alone = modes.unclear == [f"it is handed to `{owner.name}`"]
    later = all(_comes_later(script, one, export) for one in (*modes.evals, *modes.trains))
    return built is not None and alone and later and fresh(script, built, loads_weights(home, names[0])) is not None


def _comes_later(script: Script, switched: ast.Call, export: Export) -> bool:
    """Is the mode switched behind the export only, of a model that lives no longer than the function."""
    local = "." not in export.name and not isinstance(export.scope.node, ast.Module)
    inside = local and switched in export.scope.calls
    return inside and position(export.call) < position(switched) and not loops(script, export.call)


def _chooses_mode(call: ast.Call) -> bool:
    """Does the export set the mode itself: `training=`, or the exporter that switches to eval on its own."""
    return any(
        one.arg == "training" or (one.arg == "dynamo" and getattr(one.value, "value", None) is False)
        for one in call.keywords
    )


@on_script(RULE, words=("no_grad|inference_mode|grad_enabled", WEIGHTS))
def evaluation_without_eval(script: Script, facts: Facts) -> Iterator[Problem | Undecided]:
    """A forward pass without gradients of a model that nothing puts in eval mode."""
    if ("no_grad" not in script.text and "inference_mode" not in script.text and "grad_enabled" not in script.text) or (
        is_unit_test(script)
    ):
        return
    broad = facts.options.get("missing-eval") == "broad"
    for evaluation in evaluations(script):
        try:
            found = judge(script, evaluation, broad)
        except Undecided as undecided:
            yield undecided
            continue
        if found:
            yield _problem(script, evaluation)


@on_script(RULE, words=("no_grad|inference_mode|grad_enabled", ".backward("))
def validation_without_eval(script: Script, facts: Facts) -> Iterator[Problem]:
    """A pass over held-out data, without gradients, in the loop that trains the model, with no eval() between."""
    if not is_unit_test(script) and facts.options.get("missing-eval") != "broad":
        yield from (_problem(script, one) for one in validations(script))


def _problem(script: Script, evaluation: Evaluation) -> Problem:
    statement = evaluation.statement
    remedy = InsertStatement(script.site(statement), f"{evaluation.name}.eval()") if statement is not None else None
    return Problem(
        script.site(evaluation.call),
        f"`{evaluation.name}` is evaluated in training mode: switching gradients off does not switch the mode, "
        "and nothing calls `eval()` on it before",
        help=f"Call `{evaluation.name}.eval()` before the evaluation" + ("" if remedy else ", and `train()` after it"),
        remedy=remedy,
        safety=Safety.UNSAFE if remedy else Safety.DISPLAY,
    )


@on_graph(RULE)
def model_in_training_mode(graph: LayerGraph, facts: Facts) -> Iterator[Problem]:
    """A model for inference with layers that eval() would change."""
    if facts.purpose != "inference":
        return
    found = [layer for layer in graph.layers if layer.training is True and _changes(layer)]
    if found:
        also = f" and {len(found) - 1} other layers" if len(found) > 2 else " and one other layer" * (len(found) == 2)
        yield Problem(
            found[0].site,
            f"`{found[0].name}`{also} would run in training mode: {_effect(found[0])}",
            help="Call `model.eval()` before inference and before export",
            severity=Severity.ERROR,
        )


def _changes(layer: Layer) -> bool:
    """Does eval() change what this layer computes."""
    if layer.kind in norms.TRACKING and not layer.kind.islower():
        return "running_mean" in layer.state or layer.flag("track_running_stats")
    return layer.kind in vocabulary.DROPOUTS and not layer.kind.islower() and layer.number("p") > 0


def _effect(layer: Layer) -> str:
    if layer.kind in vocabulary.DROPOUTS:
        return "it drops values at random"
    return "it normalises with the statistics of each batch, and goes on changing its running ones"
