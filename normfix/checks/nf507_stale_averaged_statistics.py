"""NF507 stale-averaged-statistics: averaged weights (SWA) with running statistics that belong to other weights."""

import ast
from collections.abc import Iterator

from normfix.checks._exports import construction
from normfix.engine import SOURCE, Facts, Rule, on_script
from normfix.findings import Problem, Severity
from normfix.graph import Undecided
from normfix.script import Script
from normfix.usage.modules import is_unit_test
from normfix.usage.networks import batch_normed_networks, contents, network_of
from normfix.usage.steps import dotted, scope_of, subject

RULE = Rule("NF507", "stale-averaged-statistics", Severity.INFO, readers=SOURCE)
AVERAGED = "torch.optim.swa_utils.AveragedModel"
UPDATE = "torch.optim.swa_utils.update_bn"


@on_script(RULE, words=("AveragedModel",))
def stale_averaged_statistics(script: Script, facts: Facts) -> Iterator[Problem | Undecided]:
    """An AveragedModel over a network with batch norm, in a file that trains it and never calls update_bn."""
    if "AveragedModel" not in script.text or is_unit_test(script):
        return
    if "update_bn" in script.text or "bn_update" in script.text or not _updates(script):
        yield from _traps(script)
        return
    for call in script.of_type(ast.Call):
        if script.resolve(call.func) == AVERAGED and call.args and not _averages_buffers(script, call):
            name = subject(call.args[0])
            holds = _has_batch_norm(script, call, name)
            if holds is None:
                yield Undecided(f"whether `{name or 'the averaged model'}` holds batch norm is not known")
            elif holds:
                yield Problem(
                    script.site(call),
                    f"`{name or script.source(call.args[0])}` holds batch norm, and its average is never given "
                    "statistics of its own: `AveragedModel` copies those of the last model",
                    help="Call `torch.optim.swa_utils.update_bn(loader, averaged_model)` before it is evaluated",
                )


def _updates(script: Script) -> bool:
    """Does the file average anything: is `update_parameters` called."""
    return any(
        isinstance(call.func, ast.Attribute) and call.func.attr == "update_parameters"
        for call in script.of_type(ast.Call)
    )


def _averages_buffers(script: Script, call: ast.Call) -> bool:
    """Are buffers averaged as well, or the average an exponential one, which stays close to the model."""
    given = {one.arg: one.value for one in call.keywords}
    buffers = given.get("use_buffers")
    return (
        bool({"avg_fn", "multi_avg_fn"} & given.keys())
        or len(call.args) > 2
        or (buffers is not None and getattr(buffers, "value", True) is not False)
    )


def _has_batch_norm(script: Script, call: ast.Call, name: str) -> bool | None:
    value = construction(script, scope_of(script, call), name) if name else call.args[0]
    value = network_of(script, call, name) if value is None else value
    known = contents(script, value).batch_norm
    if known is None:
        owned = scope_of(script, call).parameters()
        if name in owned and any(True for _ in batch_normed_networks(script)):
            return True
    return known


def _traps(script: Script) -> Iterator[Problem]:
    """`update_bn` of a model that was put in eval mode for good: its statistics end at 0 and 1."""
    for call in script.of_type(ast.Call):
        if script.resolve(call.func) != UPDATE or len(call.args) < 2:
            continue
        value = network_of(script, call, subject(call.args[1]))
        inner = value.args[0] if isinstance(value, ast.Call) and value.args else None
        built = network_of(script, call, subject(inner)) if inner is not None and dotted(inner) else inner
        if contents(script, built).batch_norm and contents(script, built).frozen:
            yield Problem(
                script.site(call),
                f"`{script.source(call.args[1])}` overrides `train`: where that keeps batch norms in eval mode, "
                "`update_bn` resets their statistics to 0 and 1 and learns no new ones",
                help="Leave frozen batch norms out of `update_bn`, or save and restore their buffers",
            )
