"""NF405 export-in-training-mode: an export that is told to, or left to, write the training form of a model."""

from collections.abc import Iterator

from normfix import norms
from normfix.checks._exports import EXPORTING, Export, construction, exports
from normfix.engine import SOURCE, Facts, Rule, on_call, on_script
from normfix.findings import InsertStatement, Problem, Safety, Severity
from normfix.graph import Call, Undecided, known
from normfix.script import Script
from normfix.usage.conditions import exclusive
from normfix.usage.flow import events
from normfix.usage.modules import is_unit_test
from normfix.usage.networks import contents
from normfix.usage.steps import dotted, position

RULE = Rule("NF405", "export-in-training-mode", Severity.WARNING, readers=SOURCE | {"onnx", "pt2"})
ON_PURPOSE = ("onnxruntime.training", "onnxruntime-training", "prepare_qat", "QAT", "ORTModule", "quantize_pt2e")


@on_script(RULE, words=(*EXPORTING, "train|TRAIN"))
def export_in_training_mode(script: Script, facts: Facts) -> Iterator[Problem | Undecided]:
    """An export with `training=TRAINING`, or one whose model was last put in training mode."""
    if is_unit_test(script) or any(word in script.text for word in ON_PURPOSE):
        return
    for export in exports(script):
        mode = _training_argument(script, export)
        try:
            reason = f"`training={mode}` asks for it" if mode else _last_switch(script, export) if mode is None else ""
        except Undecided as undecided:
            yield undecided
            continue
        if reason:
            name = export.name or script.source(export.model)
            yield Problem(
                script.site(export.call),
                f"`{name}` is exported in training mode: {reason}",
                help=f"Call `{name}.eval()` before the export" + (", and leave out `training=`" if mode else ""),
                remedy=InsertStatement(script.site(export.call), f"{name}.eval()")
                if export.name and not mode
                else None,
                safety=Safety.UNSAFE if export.name and not mode else Safety.DISPLAY,
            )


def _training_argument(script: Script, export: Export) -> str | None:
    """What the export is told of the mode: "" for eval, or for what is not clear; None where it is told nothing."""
    for one in export.call.keywords:
        if one.arg == "training":
            text = dotted(one.value)
            return text if text.endswith("TRAINING") else None if text.endswith("PRESERVE") else ""
        if one.arg == "dynamo" and getattr(one.value, "value", None) is False:
            # The old exporter switches to eval mode by itself.
            return next((None for key in export.call.keywords if key.arg == "training"), "")
    return None


def _last_switch(script: Script, export: Export) -> str:
    """That the last mode switch before the export is `train()`; "" otherwise. Raises `Undecided`."""
    if not export.name:
        return ""
    before = [
        one
        for one in events(script, export.scope, export.name)
        if one.helper is not None
        or (position(one.call) < position(export.call) and not exclusive(script, one.call, export.call))
    ]
    switches = [one for one in before if one.kind in ("eval", "train")]
    if not switches or switches[-1].kind != "train" or any(one.kind == "eval" and one.helper for one in switches):
        return ""
    value = construction(script, export.scope, export.name)
    if value is not None and contents(script, value).sensitive is False:
        return ""
    later = before[before.index(switches[-1]) :]
    unclear = next((one for one in later if one.kind == "unclear"), None)
    if unclear is not None:
        raise Undecided(f"`{dotted(unclear.call.func)}` may put `{export.name}` in eval mode")
    return f"the last switch before it is `{script.source(switches[-1].call)}`"


@on_call(RULE, norms.BATCH)
def written_in_training_mode(call: Call, facts: Facts) -> Iterator[Problem]:
    """A batch norm of an exported model that normalises with batch statistics and writes running ones."""
    if facts.purpose != "training" and known(call.training):
        yield Problem(
            call.site,
            f"`{call.layer.name}` was exported in training mode: it normalises with the statistics of each batch",
            help="Call `model.eval()` and export again",
            severity=Severity.ERROR,
        )
