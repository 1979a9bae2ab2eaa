"""Where gradients are switched off: blocks, decorators and calls."""

from __future__ import annotations

import ast

from normfix.script import FUNCTIONS, Script
from normfix.usage.steps import calls_of, functions, home

GRADLESS = frozenset(
    {"torch.no_grad", "torch.inference_mode", "torch.autograd.no_grad", "torch.autograd.inference_mode"}
)


def gradless(script: Script, node: ast.AST) -> bool:
    """Is a node under `no_grad`, `inference_mode` or `set_grad_enabled(False)`, as far as its function shows."""
    for parent in script.ancestors(node, ast.stmt):
        if isinstance(parent, FUNCTIONS):
            return any(_is_gradless(script, one) for one in parent.decorator_list)
        if isinstance(parent, (ast.With, ast.AsyncWith)) and any(
            _is_gradless(script, item.context_expr) for item in parent.items
        ):
            return True
    return False


def gradless_scopes(script: Script) -> list[ast.AST]:
    """The functions (and the module) that switch gradients off, in part or as a whole."""
    blocks: list[ast.With | ast.AsyncWith] = [*script.of_type(ast.With), *script.of_type(ast.AsyncWith)]
    switches = calls_of(script, "set_grad_enabled") if "set_grad_enabled" in script.text else ()
    found: list[ast.AST] = [home(script, one) for one in switches]
    found += [home(script, one) for one in blocks if any(_is_gradless(script, item.context_expr) for item in one.items)]
    found += [one for one in functions(script) if any(_is_gradless(script, by) for by in one.decorator_list)]
    return list(dict.fromkeys(found))


def _is_gradless(script: Script, node: ast.expr) -> bool:
    return script.resolve(node.func if isinstance(node, ast.Call) else node) in GRADLESS or turns_grad_off(script, node)


def turns_grad_off(script: Script, node: ast.AST) -> bool:
    """Is this `torch.set_grad_enabled(False)`."""
    return (
        isinstance(node, ast.Call)
        and script.resolve(node.func) in ("torch.set_grad_enabled", "torch.autograd.set_grad_enabled")
        and [ast.Constant] == [type(one) for one in (*node.args, *(key.value for key in node.keywords))]
        and not (node.args[0] if node.args else node.keywords[0].value).value  # type: ignore[attr-defined]
    )
