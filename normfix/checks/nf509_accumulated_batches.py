"""NF509 accumulated-batches: gradient accumulation enlarges the batch for the optimizer, not for batch norm."""

import ast
from collections.abc import Iterator

from normfix.checks._feeding import loaders_read_by, network_trained_in
from normfix.checks._loaders import batch_size, loaders
from normfix.engine import SOURCE, Facts, Rule, on_script
from normfix.findings import Problem, Severity
from normfix.script import Script, walk
from normfix.usage.modules import is_unit_test
from normfix.usage.steps import Loop, calls_of, loops

RULE = Rule("NF509", "accumulated-batches", Severity.INFO, readers=SOURCE)
SMALL = 8


@on_script(RULE, words=(".backward(", "%|.accumulate(", "zero_grad"))
def accumulated_batches(script: Script, facts: Facts) -> Iterator[Problem]:
    """A loop that calls backward() each time and step() every few times, over a network with batch norm."""
    if ".backward(" not in script.text or is_unit_test(script):
        return
    for place, loop in (*_stepped(script), *_accelerated(script)):
        name = network_trained_in(script, loop)
        if name:
            tiny = _tiny(script, loop)
            yield Problem(
                script.site(place),
                f"`{name}` holds batch norm, whose statistics are those of each small batch: accumulating gradients "
                "enlarges the batch for the optimizer only" + (f" (batches of {tiny})" if tiny else ""),
                help="Count the samples of one forward pass as the batch of the norms, or use group norm",
                severity=Severity.WARNING if tiny else Severity.INFO,
            )


def _stepped(script: Script) -> Iterator[tuple[ast.expr, Loop]]:
    """Each test for a step every few rounds, with its loop."""
    for branch in script.of_type(ast.If) if "%" in script.text else ():
        if _is_every_few(branch.test) and _calls_backward_before(script, branch):
            loop = loops(script, branch)[0]
            skips = isinstance(branch.body[-1], ast.Continue) and not _calls(branch.body, "step")
            body = loop.body[loop.body.index(branch) + 1 :] if skips else branch.body
            if _calls(body, "step"):
                yield branch.test, loop


def _accelerated(script: Script) -> Iterator[tuple[ast.expr, Loop]]:
    """Each `with accelerator.accumulate(model)`, where the accelerator steps every few rounds, with its loop."""
    if ".accumulate(" not in script.text or not any(_accumulates(one) for one in calls_of(script, "Accelerator")):
        return
    for block in script.of_type(ast.With):
        for call in (one.context_expr for one in block.items):
            called = call.func.attr if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) else ""
            around = loops(script, block)
            if called == "accumulate" and around:
                yield call, around[0]


def _accumulates(call: ast.Call) -> bool:
    given = {one.arg: one.value for one in call.keywords}.get("gradient_accumulation_steps")
    return given is not None and getattr(given, "value", None) != 1


def _is_every_few(test: ast.expr) -> bool:
    """Does a test hold every few steps: `(i + 1) % steps == 0`."""
    return any(
        isinstance(node, ast.Compare) and isinstance(node.left, ast.BinOp) and isinstance(node.left.op, ast.Mod)
        for node in walk(test)
    )


def _calls(body: list[ast.stmt], name: str) -> bool:
    """Does the body call `optimizer.step()`, or `scaler.step(optimizer)`, and clear the gradients."""
    calls = [node for part in body for node in walk(part) if isinstance(node, ast.Call)]
    names = [node.func.attr for node in calls if isinstance(node.func, ast.Attribute)]
    return name in names and "zero_grad" in names and "backward" not in names


def _calls_backward_before(script: Script, branch: ast.If) -> bool:
    """Is backward() called in every round of the loop around, outside the branch."""
    around = loops(script, branch)
    parent = script.parents[branch]
    return (
        bool(around)
        and parent is around[0]
        and any(
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "backward"
            for part in around[0].body
            if part is not branch
            for node in walk(part)
        )
    )


def _tiny(script: Script, loop: Loop) -> int:
    """The batch size of the one loader that a loop reads, where it is literal and small; else 0."""
    read = loaders_read_by(script, loop)
    sizes = {batch_size(script, one) for one in loaders(script) if one.call in read}
    size = sizes.pop() if len(sizes) == 1 else None
    return size[0] if size is not None and 0 < size[0] <= SMALL else 0
