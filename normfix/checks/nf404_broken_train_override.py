"""NF404 broken-train-override: a `train` method that breaks `eval()`, which calls `self.train(False)`."""

import ast
from collections.abc import Iterator

from normfix.checks._definitions import problems
from normfix.engine import LIVE, SOURCE, Facts, Rule, on_graph, on_node
from normfix.findings import (
    AddParameter,
    InsertStatement,
    Problem,
    Remedy,
    ReplaceExpression,
    Safety,
    Severity,
    Together,
)
from normfix.graph import LayerGraph, Undecided
from normfix.lazy import pattern
from normfix.script import Script, walk
from normfix.usage.gradless import GRADLESS
from normfix.usage.modules import derives_beside, is_module_class
from normfix.usage.steps import dotted

RULE = Rule("NF404", "broken-train-override", Severity.ERROR, readers=SOURCE | LIVE)
HELP = "Write `def train(self, mode=True)`, call `super().train(mode)` first, and return `self`"
FOREIGN = ("DataModule", "AnsibleModule")
"""Classes called a module that are none of torch."""


@on_node(
    RULE,
    ast.ClassDef,
    words=(
        "train",
        pattern(r"def[\s\\]+train\b"),
    ),
)
def broken_train_override(node: ast.ClassDef, facts: Facts) -> Iterator[Problem]:
    """A method `train` of a module class that eval() cannot call, that ignores the mode, or that returns nothing."""
    script = facts.script
    method = next((one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "train"), None)
    if script is None or method is None or not all(_is_plain(script, one) for one in method.decorator_list):
        return
    reason = _fault(script, node, method)
    if reason and (_is_module(script, node) or derives_beside(script, node)):
        remedy = _remedy(script, method)
        yield Problem(
            script.site(method),
            f"`{node.name}.train` {reason}",
            help=HELP,
            remedy=remedy,
            safety=Safety.UNSAFE if remedy else Safety.DISPLAY,
        )


@on_graph(RULE)
def broken_in_model(graph: LayerGraph, facts: Facts) -> Iterator[Problem | Undecided]:
    """The same, in the classes of a live model."""
    yield from problems(broken_train_override, graph, facts, "train")


def _is_plain(script: Script, decorator: ast.expr) -> bool:
    """Does a decorator leave the arguments and the result alone: `@torch.no_grad()`, `@override`."""
    name = script.resolve(decorator.func if isinstance(decorator, ast.Call) else decorator)
    return name in GRADLESS or name.rpartition(".")[2] == "override"


def _is_module(script: Script, node: ast.ClassDef) -> bool:
    names = [script.resolve(one) for one in node.bases]
    return is_module_class(script, node) and not any(name.endswith(FOREIGN) for name in names)


def _fault(script: Script, owner: ast.ClassDef, method: ast.FunctionDef) -> str:
    spec = method.args
    positional = [*spec.posonlyargs, *spec.args]
    if any(isinstance(one, ast.FunctionDef) and one.name == "eval" for one in owner.body):
        # A class with an eval() of its own does not go through train(False).
        return ""
    if not positional or _only_raises(method):
        return ""
    if len(positional) == 1 and spec.vararg is None:
        return "takes no `mode`, but `eval()` calls `self.train(False)`: it raises TypeError"
    required = len(positional) - len(spec.defaults)
    if required > 2:
        return f"needs {required - 1} arguments, but `eval()` calls `self.train(False)`: it raises TypeError"
    if _is_training_loop(method):
        return "runs the training, but `eval()` calls `self.train(False)`: it would train instead of switching the mode"
    if required == 2 or spec.vararg is not None:
        return ""
    mode = positional[1].arg
    if not _may_be_mode(positional[1], spec.defaults[0]) and "super" not in ast.unparse(method):
        return f"takes `{mode}` and no mode, but `eval()` calls `self.train(False)`: it would run with that instead"
    return _lost_mode(method, mode) or _lost_self(method) or _lost_flag(method, mode)


def _may_be_mode(parameter: ast.arg, default: ast.expr) -> bool:
    named = "mode" in parameter.arg.lower() or "train" in parameter.arg.lower()
    typed = dotted(parameter.annotation) == "bool"
    return named or typed or (isinstance(default, ast.Constant) and type(default.value) is bool)


def _lost_mode(method: ast.FunctionDef, mode: str) -> str:
    """Is the mode never used, though the body switches something."""
    used = any(isinstance(node, ast.Name) and node.id == mode for node in walk(method) if node is not method.args)
    if _is_frozen_on_purpose(method):
        return ""
    if used:
        lost = f"does not hand `{mode}` on to `super().train()`: after `eval()` the module is in training mode"
        return lost if _always_trains(method) else ""
    calls = [dotted(node.func) or ast.unparse(node.func) for node in walk(method) if isinstance(node, ast.Call)]
    if any("super" in call and call.endswith(".train") for call in calls):
        return f"does not hand `{mode}` on to `super().train()`: after `eval()` the module is in training mode"
    return f"ignores `{mode}`: neither `train()` nor `eval()` switches the mode of the module"


def _always_trains(method: ast.FunctionDef) -> bool:
    """Does it call `super().train()` whatever the mode, and switch the module as a whole in no other way."""
    calls = [node for node in walk(method) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    whole = [one for one in calls if dotted(one.func.value) in ("self", "super") or _is_super(one.func.value)]  # type: ignore[attr-defined]  # just tested
    switches = [one for one in whole if one.func.attr in ("train", "eval")]  # type: ignore[attr-defined]
    alone = [one.value for one in method.body if isinstance(one, ast.Expr | ast.Return)]
    written = any(isinstance(node, ast.Attribute) and node.attr == "training" for node in walk(method))
    bare = len(switches) == 1 and not switches[0].args and not switches[0].keywords
    return bare and switches[0] in alone and not written


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and dotted(node.func) == "super"


def _lost_self(method: ast.FunctionDef) -> str:
    returned = any(isinstance(node, ast.Return) and node.value is not None for node in walk(method))
    return "" if returned else "returns nothing, so `model = model.eval()` and `model.train().cuda()` lose the model"


def _lost_flag(method: ast.FunctionDef, mode: str) -> str:
    """Is the mode handed to parts of the module only, so that `self.training` stays as it is."""
    calls = [node for node in walk(method) if isinstance(node, ast.Call)]
    written = any(isinstance(node, ast.Attribute) and node.attr == "training" for node in walk(method))
    reached = any("self" in map(dotted, call.args) or "super" in ast.unparse(call.func) for call in calls)
    parts = any(isinstance(call.func, ast.Attribute) and dotted(call.func.value).startswith("self.") for call in calls)
    if written or reached or not parts or _is_frozen_on_purpose(method):
        return ""
    return f"never calls `super().train({mode})`: `self.training` stays as it is, and so do the parts it does not name"


def _statements(method: ast.FunctionDef) -> list[ast.stmt]:
    """The body without its docstring."""
    body = method.body
    first = body[0]
    return body[1:] if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) else body


def _only_raises(method: ast.FunctionDef) -> bool:
    return any(isinstance(one, ast.Raise) for one in _statements(method)[-1:])


def _is_frozen_on_purpose(method: ast.FunctionDef) -> bool:
    """Does the whole body leave the mode alone, or put the module in eval mode."""
    text = " ".join(ast.unparse(one) for one in _statements(method))
    words = (
        "train(False)",
        "train(mode=False)",
        "train(self, False)",
        "train(self, mode=False)",
        "self.training = False",
    )
    return text in ("return self", "pass", "...", "") or any(word in text for word in words)


def _is_training_loop(method: ast.FunctionDef) -> bool:
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("backward", "zero_grad", "step")
        for node in walk(method)
    )


def _remedy(script: Script, method: ast.FunctionDef) -> Remedy | None:
    """The missing parameter, the mode handed on, the missing `return self`; None where the body is something else."""
    supers = [node for node in walk(method) if isinstance(node, ast.Call) and _is_bare_super(node)]
    spec = method.args
    names = [one.arg for one in (*spec.posonlyargs, *spec.args)]
    returns = any(isinstance(node, ast.Return) for node in walk(method))
    if returns and _lost_self(method):
        return None  # a bare `return` on the way would still return nothing
    if len(supers) != 1 or len(names) > 2 or spec.vararg or spec.kwonlyargs or _is_training_loop(method):
        return None
    mode = names[1] if len(names) == 2 else "mode"
    parts: list[Remedy] = []
    if len(names) == 1:
        parts.append(AddParameter(script.site(method), f"{mode}=True"))
    if not supers[0].args and not supers[0].keywords:
        text = f"{script.source(supers[0].func)}({mode})"
        parts.append(ReplaceExpression(script.site(supers[0]), text))
    if _lost_self(method):
        parts.append(InsertStatement(script.site(method.body[-1]), "return self", after=True))
    return Together(script.site(method), tuple(parts)) if parts else None


def _is_bare_super(node: ast.Call) -> bool:
    function = node.func
    return (
        isinstance(function, ast.Attribute)
        and function.attr == "train"
        and (isinstance(function.value, ast.Call) and dotted(function.value.func) == "super")
    )
