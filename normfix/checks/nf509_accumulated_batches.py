"""NF509 accumulated-batches: gradient accumulation enlarges the batch for the optimizer, not for batch norm."""

import ast
from collections.abc import Iterator

from normfix.checks._feeding import loaders_read_by, network_trained_in
from normfix.checks._loaders import batch_size, loaders
from normfix.engine import SOURCE, Facts, Rule, on_script
from normfix.findings import Problem, Severity
from normfix.script import Script, walk
from normfix.usage.networks import is_unit_test
from normfix.usage.steps import Loop, loops

RULE = Rule("NF509", "accumulated-batches", Severity.INFO, readers=SOURCE)
SMALL = 8


@on_script(RULE, words=(".backward(", "%", "zero_grad"))
def accumulated_batches(script: Script, facts: Facts) -> Iterator[Problem]:
    """A loop that calls backward() each time and step() every few times, over a network with batch norm."""
    if ".backward(" not in script.text or "%" not in script.text or is_unit_test(script):
        return
    for branch in script.of_type(ast.If):
        if (
            not _is_every_few(branch.test)
            or not _calls(branch.body, "step")
            or not _calls_backward_before(script, branch)
        ):
            continue
        loop = loops(script, branch)[0]
        name = network_trained_in(script, loop)
        if name:
            tiny = _tiny(script, loop)
            yield Problem(
                script.site(branch.test),
                f"`{name}` holds batch norm, whose statistics are those of each small batch: accumulating gradients "
                "enlarges the batch for the optimizer only" + (f" (batches of {tiny})" if tiny else ""),
                help="Count the samples of one forward pass as the batch of the norms, or use group norm",
                severity=Severity.WARNING if tiny else Severity.INFO,
            )


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
