"""NF406 hard-coded-mode: `F.batch_norm` whose `training` flag does not follow the mode of its module."""

import ast
from collections.abc import Iterator

from normfix.checks._spelled import called
from normfix.engine import LIVE, SOURCE, Facts, Rule, on_call, on_script
from normfix.findings import Problem, Safety, SetArgument, Severity
from normfix.graph import Call, known
from normfix.script import Script, walk
from normfix.usage.modules import argument, is_torch_class_anywhere
from normfix.usage.steps import calls_of, dotted

RULE = Rule("NF406", "hard-coded-mode", Severity.INFO, readers=SOURCE | LIVE)
FROZEN = ("frozen", "freeze", "fixed", "eval", "infer", "fold", "fuse")
"""Parts of names of classes that never use batch statistics, on purpose."""

CALLED = called("batch_norm")


@on_script(RULE, words=("batch_norm", CALLED))
def hard_coded_mode(script: Script, facts: Facts) -> Iterator[Problem]:
    """A functional batch norm with running statistics, in a module, whose flag is a literal or left at its default."""
    if "batch_norm" in script.text:
        for call in calls_of(script, "batch_norm"):
            if script.resolve(call.func) == "torch.nn.functional.batch_norm" and _has_statistics(call):
                yield from _judged(script, call)


def _judged(script: Script, node: ast.Call) -> Iterator[Problem]:
    owner = script.class_of(node)
    if owner is None or any(one in owner.name.lower() for one in FROZEN):
        return
    if not is_torch_class_anywhere(script, owner):
        return
    value = argument(node, "batch_norm", "training")
    if value is not None and not (isinstance(value, ast.Constant) and isinstance(value.value, bool)):
        return
    always = value is not None and bool(getattr(value, "value", False))
    if _chooses(script, node):
        return
    given = "`training` is left at its default, False" if value is None else f"`training={script.source(value)}`"
    effect = "the statistics of each batch, in eval mode too" if always else "the running statistics, in training too"
    site = script.site(node)
    position = node.args.index(value) if value in node.args else None
    yield Problem(
        site,
        f"`{script.source(node.func)}` in `{owner.name}` always normalises with {effect}: {given}",
        help="Pass `training=self.training`",
        remedy=SetArgument(site, "training", "self.training", position),
        safety=Safety.UNSAFE,
    )


def _has_statistics(node: ast.Call) -> bool:
    """Are the running statistics of the module passed, so that there is a choice."""
    if any(one.arg is None for one in node.keywords) or any(isinstance(one, ast.Starred) for one in node.args):
        return False
    mean = argument(node, "batch_norm", "running_mean")
    return dotted(mean).startswith("self.")


def _chooses(script: Script, node: ast.Call) -> bool:
    """Is the call one of several cases, or does an exit before it ask for the mode.

    To count the batches in training, as torch does, is no case of its own.
    """
    method = script.function_of(node)
    if method is None or next(script.ancestors(node, ast.If), None) is not None:
        return True
    choices = [one for one in walk(method) if isinstance(one, ast.If | ast.IfExp)]
    tests = [one.test for one in choices if isinstance(one, ast.IfExp) or not _only_counts(one)]
    return any("training" in ast.unparse(test) or "frozen" in ast.unparse(test).lower() for test in tests)


def _only_counts(branch: ast.If) -> bool:
    """Does a branch of the copied `_BatchNorm.forward` count batches, and set the factor of the average."""
    names = {dotted(one) for part in branch.body + branch.orelse for one in _targets(part)}
    return bool(names) and names <= {"self.num_batches_tracked", "exponential_average_factor"}


def _targets(part: ast.stmt) -> list[ast.expr]:
    """What a statement, and all in it, writes; itself where it does anything else."""
    found: list[ast.expr] = []
    for one in walk(part):
        if isinstance(one, ast.Assign):
            found += one.targets
        elif isinstance(one, ast.AugAssign):
            found.append(one.target)
        elif isinstance(one, ast.stmt) and not isinstance(one, ast.If):
            found.append(ast.Name(type(one).__name__))
    return found


@on_call(RULE, ("batch_norm",))
def mode_of_another(call: Call, facts: Facts) -> Iterator[Problem]:
    """A functional batch norm that uses batch statistics in a module which is in eval mode."""
    mean = call.layer.arguments.get("running_mean")
    if mean is None or mean.value is None or call.layer.training is not False or not known(call.training):
        return
    exported = facts.purpose == "inference"
    yield Problem(
        call.site,
        f"`{call.layer.name}` normalises with the statistics of each batch though its module is in eval mode"
        + ("; the ONNX exporter writes the running statistics instead, without a word" if exported else ""),
        help="Pass `training=self.training`",
        severity=Severity.ERROR if exported else Severity.INFO,
    )
