"""NF408 toggled-tracking: `bn.track_running_stats = False` after construction leaves stale buffers in force."""

import ast
from collections.abc import Iterator

from normfix import norms
from normfix.engine import LIVE, SOURCE, Facts, Rule, on_layer, on_script
from normfix.findings import Problem, Severity
from normfix.graph import Layer
from normfix.lazy import pattern
from normfix.script import Script
from normfix.usage.modules import is_unit_test
from normfix.usage.steps import dotted

RULE = Rule("NF408", "toggled-tracking", Severity.WARNING, readers=SOURCE | LIVE)
NAME = "track_running_stats"
SET = pattern(rf"\.\s*{NAME}|[\"']{NAME}")
HELP = "Call `eval()` on a norm to freeze it; construct it with `track_running_stats=False` to have no statistics"


@on_script(RULE, words=(NAME, SET))
def toggled_tracking(script: Script, facts: Facts) -> Iterator[Problem]:
    """The attribute is set to False from outside, never set back, and the buffers are kept."""
    if is_unit_test(script) or _is_set_back(script) or _drops_buffers(script):
        return
    for node, owner, value in _settings(script):
        if (
            isinstance(value, ast.Constant)
            and value.value is False
            and owner != "self"
            and not _is_instance_norm(script, node)
        ):
            yield Problem(
                script.site(node),
                f"`{owner}.{NAME} = False` stops the updates but keeps the buffers: in training the norm uses batch "
                "statistics, in eval mode the stale ones",
                help=HELP,
            )


def _is_instance_norm(script: Script, node: ast.AST) -> bool:
    """Is the code about instance norm, which does obey its attribute in eval mode."""
    function = script.function_of(node)
    text = ast.unparse(function if function is not None else script.tree).lower()
    return "instance" in text.replace("isinstance", "") and "batch" not in text


def _settings(script: Script) -> Iterator[tuple[ast.AST, str, ast.expr]]:
    """Every place that sets the attribute: the statement or call, the owner, the value."""
    for assign in script.of_type(ast.Assign):
        for target in assign.targets:
            if isinstance(target, ast.Attribute) and target.attr == NAME:
                yield assign, dotted(target.value) or script.source(target.value), assign.value
    for call in script.of_type(ast.Call):
        if dotted(call.func) == "setattr" and len(call.args) == 3 and getattr(call.args[1], "value", None) == NAME:
            yield call, dotted(call.args[0]) or script.source(call.args[0]), call.args[2]


def _is_set_back(script: Script) -> bool:
    """Is the attribute set to anything but False too, or flipped, so that it was switched off for a while."""
    flipped = any(
        isinstance(one.target, ast.Attribute) and one.target.attr == NAME for one in script.of_type(ast.AugAssign)
    )
    others = (value for _, owner, value in _settings(script) if owner != "self")
    return flipped or any(not (isinstance(value, ast.Constant) and value.value is False) for value in others)


def _drops_buffers(script: Script) -> bool:
    """Are running statistics set to None: then the norm does without them for good."""
    return any(
        isinstance(target, ast.Attribute)
        and target.attr == "running_mean"
        and isinstance(assign.value, ast.Constant)
        and assign.value.value is None
        for assign in script.of_type(ast.Assign)
        for target in assign.targets
    )


@on_layer(RULE, norms.BATCH)
def tracking_was_toggled(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """A batch norm that has running statistics and says that it tracks none."""
    if layer.kind[0].isupper() and layer.state.get("running_mean") and not layer.flag(NAME):
        yield Problem(
            layer.site,
            f"`{layer.name}` holds running statistics but does not track them: training uses those of the batch, eval "
            "mode the stale ones",
            help=HELP,
        )
