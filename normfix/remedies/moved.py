"""A layer that `forward` makes anew: a functional dropout in its place, or the layer itself built in `__init__`."""

import ast

from normfix import vocabulary
from normfix.findings import InsertStatement, Remedy, ReplaceExpression, Together
from normfix.remedies.registered import takes_modules
from normfix.script import FUNCTIONS, Script, walk
from normfix.usage.modules import layer_kind
from normfix.usage.steps import dotted, scope_of

FUNCTIONAL = {
    "AlphaDropout": "alpha_dropout",
    "FeatureAlphaDropout": "feature_alpha_dropout",
    **{f"Dropout{rank}": f"dropout{rank}" for rank in ("", "1d", "2d", "3d")},
}
REPEATED = (ast.For, ast.While, ast.AsyncFor, ast.Lambda, ast.comprehension)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def built_once(script: Script, node: ast.Call) -> Remedy | None:
    """How the layer that `node` constructs in `forward` is had without making it there; None where it is not sure."""
    forward = script.function_of(node)
    owner = script.parents[forward] if forward is not None else None
    if not isinstance(owner, ast.ClassDef) or forward is None or [one.arg for one in forward.args.args][:1] != ["self"]:
        return None
    kind = layer_kind(script, node)
    return _functional(script, node, kind) if kind in vocabulary.DROPOUTS else _stored(script, owner, node)


def _functional(script: Script, node: ast.Call, kind: str) -> Remedy | None:
    """`nn.Dropout(p)(x)` as `F.dropout(x, p, self.training)`."""
    call = script.parents[node]
    given = [*node.args, *(one.value for one in node.keywords if one.arg == "p")]
    if not isinstance(call, ast.Call) or call.func is not node or len(call.args) != 1 or call.keywords:
        return None
    if len(given) != len(node.args) + len(node.keywords) or len(given) > 1:
        return None
    if any(isinstance(one, ast.Starred | ast.GeneratorExp) for one in (*given, call.args[0])):
        return None
    value, rate = script.source(call.args[0]), script.source(given[0]) if given else "0.5"
    namespace = _functions(script)
    if namespace.partition(".")[0] in scope_of(script, node).bound:
        return None
    if not namespace or kind not in FUNCTIONAL or any(mark in script.source(call) for mark in "\n#"):
        return None
    return ReplaceExpression(script.site(call), f"{namespace}.{FUNCTIONAL[kind]}({value}, {rate}, self.training)")


def _functions(script: Script) -> str:
    """How the file says `torch.nn.functional`; "" where it has no name for it."""
    for module, rest in (("torch.nn.functional", ""), ("torch.nn", ".functional"), ("torch", ".nn.functional")):
        for name, meaning in script.imports.items():
            if meaning == module:
                return name + rest
    return ""


def _stored(script: Script, owner: ast.ClassDef, node: ast.Call) -> Remedy | None:
    """A layer of literal arguments, built behind the last attribute that `__init__` sets, under a name that is free."""
    if {script.resolve(one) for one in owner.bases} != {"torch.nn.Module"} or _is_repeated(script, node):
        return None
    if not all(_is_literal(one) for one in (*node.args, *(one.value for one in node.keywords))):
        return None
    last = _last_attribute(owner)
    if last is None or any(mark in script.source(node) for mark in "\n#"):
        return None
    taken = {one.attr for one in script.of_type(ast.Attribute)} | {getattr(one, "name", "") for one in owner.body}
    taken |= {one.value for one in walk(owner) if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    name = next(one for one in ("norm", *(f"norm{number}" for number in range(2, len(taken) + 3))) if one not in taken)
    parts = (
        InsertStatement(script.site(last), f"self.{name} = {script.source(node)}", after=True),
        ReplaceExpression(script.site(node), f"self.{name}"),
    )
    return Together(script.site(node), parts)


def _is_repeated(script: Script, node: ast.Call) -> bool:
    """May one pass make the layer several times, or is more done with it than a call or giving it a local name."""
    parent = script.parents[node]
    called = isinstance(parent, ast.Call) and parent.func is node
    named = isinstance(parent, ast.Assign) and [type(one) for one in parent.targets] == [ast.Name]
    around = list(script.ancestors(node, (*REPEATED, *COMPREHENSIONS, *FUNCTIONS)))
    return not (called or named) or not isinstance(around[0], FUNCTIONS)


def _is_literal(value: ast.expr) -> bool:
    values = value.elts if isinstance(value, ast.Tuple | ast.List) else [value]
    return all(isinstance(one, ast.Constant) for one in values)


def _last_attribute(owner: ast.ClassDef) -> ast.stmt | None:
    """The last statement of the body of `__init__` that gives `self` an attribute."""
    for method in owner.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            own = [one for one in method.body if isinstance(one, ast.Assign) and _is_attribute(one.targets[0])]
            returns = any(isinstance(one, ast.Return) for one in walk(method))
            return own[-1] if own and not returns and takes_modules(method, own[-1]) else None
    return None


def _is_attribute(target: ast.expr) -> bool:
    return dotted(target).startswith("self.") and dotted(target).count(".") == 1
