"""Batch norms that are updated twice in each step, and the momentum that makes up for it.

Two updates with momentum m keep (1 - m)^2 of the old statistics; two with 1 - sqrt(1 - m) keep 1 - m, as one should.
"""

import ast
from collections.abc import Iterator

from normfix import vocabulary
from normfix.findings import Remedy, SetArgument, Together
from normfix.graph import Undecided
from normfix.script import FUNCTIONS, Script, walk
from normfix.usage.modules import BATCH_NORMS, argument, layer_kind
from normfix.usage.steps import dotted, scopes

CONTAINERS = frozenset({"Sequential", "ModuleList"})


def slowed(script: Script, node: ast.Call, name: str) -> Remedy | None:
    """The momentum of every norm in the attribute `name`, set so that two updates are one.

    None where the checkpoint at `node` may not be all that runs the part, or a norm or its momentum is not in sight.
    """
    owner = script.class_of(node)
    if owner is None or not _is_only_checkpointed(script, owner, node, name):
        return None
    try:
        calls = list(_norms(script, _value(script, owner, name)))
        parts = [
            SetArgument(script.site(call), "momentum", halved) for call in calls if (halved := _halved(script, call))
        ]
    except Undecided:
        return None
    return Together(script.site(node), tuple(parts)) if parts else None


def is_slowed(script: Script, node: ast.Call, name: str) -> bool:
    """Has every norm in the attribute `name` a momentum that is made for two updates."""
    owner = script.class_of(node)
    methods = [scopes(script)[one] for one in owner.body if isinstance(one, FUNCTIONS)] if owner is not None else []
    values = [value for method in methods for value in method.bound.get(name, ()) if value is not None]
    calls = [one for value in values for one in walk(value) if layer_kind(script, one) in BATCH_NORMS]
    momenta = [argument(one, layer_kind(script, one), "momentum") for one in calls if isinstance(one, ast.Call)]
    return bool(momenta) and all(one is not None and "** 0.5" in ast.unparse(one) for one in momenta)


def _is_only_checkpointed(script: Script, owner: ast.ClassDef, node: ast.Call, name: str) -> bool:
    """Is the part named just once in its class: as what is checkpointed, or as what the loop around that walks over."""
    target = dotted(node.args[0])
    read = [one for one in walk(owner) if dotted(one) == name and isinstance(getattr(one, "ctx", None), ast.Load)]
    if len(read) != 1:
        return False
    if target == name:
        return True
    loop = next((one for one in script.ancestors(node, ast.For) if one.iter is read[0]), None)
    return (
        loop is not None
        and dotted(loop.target) == target
        and sum(isinstance(one, ast.Name) and one.id == target for part in loop.body for one in walk(part)) == 1
    )


def _value(script: Script, owner: ast.ClassDef, name: str) -> ast.expr:
    """What the attribute is given, once. Raises `Undecided` where it is given several values."""
    methods = [scopes(script)[one] for one in owner.body if isinstance(one, FUNCTIONS)]
    values = [value for method in methods for value in method.bound.get(name, ())]
    if len(values) != 1 or values[0] is None:
        raise Undecided(f"`{name}` has several values")
    return values[0]


def _norms(script: Script, value: ast.expr) -> Iterator[ast.Call]:
    """The batch norms of a network that is written out. Raises `Undecided` where part of it is made elsewhere."""
    kind = layer_kind(script, value)
    if not isinstance(value, ast.Call) or not kind:
        raise Undecided(f"`{script.source(value)}` may hold more norms")
    if kind in CONTAINERS:
        for inner in _inner(script, value):
            yield from _norms(script, inner)
    elif kind in BATCH_NORMS:
        yield value


def _inner(script: Script, container: ast.Call) -> Iterator[ast.expr]:
    for one in container.args:
        if isinstance(one, ast.List | ast.Tuple):
            yield from one.elts
        elif isinstance(one, ast.ListComp | ast.GeneratorExp):
            yield one.elt
        else:
            yield one


def _halved(script: Script, call: ast.Call) -> str:
    """The momentum for two updates; "" for a norm that needs none. Raises `Undecided` where its own is not literal."""
    kind = layer_kind(script, call)
    if any(one.arg is None for one in call.keywords) or any(isinstance(one, ast.Starred) for one in call.args):
        raise Undecided(f"`{script.source(call)}` is given arguments that are not in sight")
    given = argument(call, kind, "momentum")
    if given is None:
        return f"1 - (1 - {vocabulary.default(kind, 'momentum')}) ** 0.5"
    if isinstance(given, ast.Constant) and given.value is None:
        return ""
    if not isinstance(given, ast.Constant) or not isinstance(given.value, float) or not 0 < given.value < 1:
        raise Undecided(f"the momentum of `{script.source(call)}` is not written out")
    return f"1 - (1 - {script.source(given)}) ** 0.5"
