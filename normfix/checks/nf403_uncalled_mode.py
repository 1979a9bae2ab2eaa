"""NF403 uncalled-mode: `model.eval` without parentheses is an attribute, and changes nothing."""

import ast
from collections.abc import Iterator

from normfix.engine import SOURCE, Facts, Rule, on_node
from normfix.findings import CompleteCall, Problem, Safety, Severity

RULE = Rule("NF403", "uncalled-mode", Severity.ERROR, readers=SOURCE)
MODES = frozenset({"eval", "train"})


@on_node(RULE, ast.Expr)
def uncalled_mode(node: ast.Expr, facts: Facts) -> Iterator[Problem]:
    """A bare attribute as a statement has no effect, so nobody writes one on purpose."""
    script = facts.script
    if script is None or not isinstance(node.value, ast.Attribute) or node.value.attr not in MODES:
        return
    site = script.site(node.value)
    text = script.source(node.value)
    yield Problem(
        site,
        f"`{text}` is not called, so the mode does not change",
        help=f"Call it: `{text}()`",
        remedy=CompleteCall(site),
        safety=Safety.SAFE,
    )
