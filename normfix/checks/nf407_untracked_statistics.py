"""NF407 untracked-statistics: batch norm without running statistics uses those of the batch in eval mode too."""

import ast
from collections.abc import Iterator

from normfix import norms
from normfix.engine import LIVE, SOURCE, Facts, Rule, on_layer, on_script
from normfix.findings import Problem, Severity
from normfix.graph import Layer
from normfix.lazy import pattern
from normfix.script import Script
from normfix.usage.modules import BATCH_NORMS, argument, calls_with_batch_norm, is_unit_test, layer_kind

RULE = Rule("NF407", "untracked-statistics", Severity.WARNING, readers=SOURCE | LIVE | {"onnx"})
HELP = "Leave `track_running_stats` at True, or use a norm without running statistics, such as group norm"
ON_PURPOSE = pattern(
    r"maml|meta[-_ ]?(?:learn|train|test|model|module|batch|init)|few[-_ ]?shot|functorch|vmap|opacus|tent\."
    r"|import higher|adabn|(?:domain|test[-_ ]time)[-_ ]adapt"
)
"""What says in a file that it wants the statistics of the batch at test time, or cannot have buffers."""

GIVEN = pattern(r"track_running_stats\s*=\s*False\b|,[^,=()]+,(?:\s|#[^\n]*\n)*False\b")
"""By name, or by position behind another argument."""


@on_script(RULE, words=("BatchNorm", GIVEN))
def untracked_statistics(script: Script, facts: Facts) -> Iterator[Problem]:
    """A batch norm that is constructed with `track_running_stats=False`."""
    for node in calls_with_batch_norm(script):
        yield from _judged(script, node, facts)


def _judged(script: Script, node: ast.Call, facts: Facts) -> Iterator[Problem]:
    built = _prepared(script, node)
    kind = layer_kind(script, built)
    if kind not in BATCH_NORMS:
        return
    value = argument(built, kind, "track_running_stats")
    if not isinstance(value, ast.Constant) or value.value is not False or is_unit_test(script):
        return
    owner = script.class_of(node)
    named = f"{script.path.rpartition('/')[2]} {owner.name if owner is not None else ''}".lower()
    if ON_PURPOSE.search(script.text.lower()) or "gen" in named or "meta" in named or "adapt" in named:
        return
    yield Problem(
        script.site(node),
        f"`{kind}` with `track_running_stats=False` normalises with the statistics of the batch in eval mode too: what "
        "it gives for one sample depends on the others",
        help=HELP,
        severity=Severity.WARNING if facts.purpose == "inference" else Severity.INFO,
    )


def _prepared(script: Script, node: ast.Call) -> ast.Call:
    """The `nn.BatchNorm2d(...)` that `partial(nn.BatchNorm2d, ...)` is short for; any other call as it is."""
    if len(node.args) != 1 or script.resolve(node.func) != "functools.partial":
        return node
    return ast.Call(node.args[0], [], node.keywords)


@on_layer(RULE, norms.BATCH)
def untracked_at_inference(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """A batch norm of a model for inference that holds no running statistics; ONNX files are for inference."""
    planned = facts.purpose or ("inference" if facts.reader == "onnx" else "")
    if planned != "inference" or "running_mean" in layer.state or not layer.kind.startswith(("Batch", "Sync")):
        return
    yield Problem(
        layer.site,
        f"`{layer.name}` has no running statistics: in eval mode, too, it normalises with those of the batch at hand",
        help=HELP,
    )
