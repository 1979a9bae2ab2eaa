"""NF504 checkpointed-norm: activation checkpointing runs the forward twice, and so updates running statistics twice.

Two updates with momentum m are one with 1 - (1 - m)^2; the momentum 1 - sqrt(1 - m) makes up for it.
"""

import ast
from collections.abc import Iterator

from normfix.checks._attributes import normed_attributes
from normfix.engine import SOURCE, Facts, Rule, on_script
from normfix.findings import Problem, Safety, Severity
from normfix.script import Script, walk
from normfix.usage.networks import contents, is_torch_class, is_unit_test
from normfix.usage.steps import calls_of, dotted, functions, scope_of

RULE = Rule("NF504", "checkpointed-norm", Severity.WARNING, readers=SOURCE)
CHECKPOINT = "torch.utils.checkpoint."
AWARE = ("sqrt", "FrozenBatchNorm", "momentum=None", "patch_batchnorm", "BatchNormAux")
"""Words of code that makes up for the second update, or does not have it."""


@on_script(RULE)
def checkpointed_norm(script: Script, facts: Facts) -> Iterator[Problem]:
    """`torch.utils.checkpoint` over a part of a module that holds batch norm."""
    if "checkpoint" not in script.text or is_unit_test(script) or any(word in script.text for word in AWARE):
        return
    for node in calls_of(script, "checkpoint", "checkpoint_sequential"):
        known = node.args and script.resolve(node.func).startswith(CHECKPOINT)
        name = _normed_part(script, node, node.args[0]) if known else ""
        if not name:
            continue
        from normfix.checks._slowed import is_slowed, slowed

        if is_slowed(script, node, name):
            continue
        # The last segment of `checkpoint_sequential` is run once.
        remedy = slowed(script, node, name) if script.resolve(node.func).endswith(".checkpoint") else None
        yield Problem(
            script.site(node),
            f"`{name}` holds batch norm and is checkpointed: the backward pass runs it again, so its running "
            "statistics are updated twice in each step",
            help="Set the momentum of these norms to `1 - sqrt(1 - m)`, or leave them out of the checkpoint",
            remedy=remedy,
            safety=Safety.UNSAFE if remedy else Safety.DISPLAY,
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
        value = scope_of(script, node).value(name)
        if value is not None and contents(script, value).batch_norm:
            return name
    body = _body(script, node, target)
    used = {dotted(one.func) for part in body for one in walk(part) if isinstance(one, ast.Call)}
    return next((one for one in sorted(normed) if one in used), "")


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
