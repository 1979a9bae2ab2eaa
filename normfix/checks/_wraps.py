"""Which names stand for a wrapped, compiled or converted network at some point of a scope."""

import ast

from normfix.script import Script, walk
from normfix.usage.conditions import exclusive
from normfix.usage.flow import aliases
from normfix.usage.steps import Scope, base, dotted, position, subject

DISTRIBUTED = frozenset({"DistributedDataParallel", "DDP", "FullyShardedDataParallel", "FSDP"})
CONVERT = "SyncBatchNorm.convert_sync_batchnorm"


def wrapper(script: Script, call: ast.AST) -> str:
    """How a call wraps a network: "DistributedDataParallel", "DataParallel", "torch.compile"; "" for another call."""
    if not isinstance(call, ast.Call):
        return ""
    name = script.resolve(call.func)
    last = name.rpartition(".")[2]
    if name == "torch.compile":
        return name
    if last in DISTRIBUTED and (name.startswith(("torch.", "apex.")) or last == name):
        return "DistributedDataParallel" if last == "DDP" else last
    return "DataParallel" if name in ("torch.nn.DataParallel", "torch.nn.parallel.DataParallel") else ""


def converts(script: Script, call: ast.AST) -> bool:
    """Does a call turn batch norms into synchronised ones."""
    if not isinstance(call, ast.Call):
        return False
    name = script.resolve(call.func)
    return name.endswith(CONVERT) or name in ("torch.nn.modules.batchnorm.convert_sync_batchnorm",)


def wrapped_before(script: Script, scope: Scope, value: ast.expr, call: ast.Call) -> tuple[str, ast.Call] | None:
    """The wrapping that a network has been through when `call` gets it as `value`: how, and where."""
    core = base(value)
    if wrapper(script, core) and isinstance(core, ast.Call):
        return wrapper(script, core), core
    name = subject(value)
    if not name:
        return None
    faces = aliases(scope, name)
    made = [base(one) for face in faces for one in scope.bound.get(face, ()) if one is not None]
    for other in reversed(scope.calls):
        if position(other) >= position(call) or not other.args:
            continue
        if subject(other.args[0]) not in faces and not any(other is one for one in made):
            continue
        reached = not exclusive(script, other, call) and not _bound_again(scope, name, other, call)
        if wrapper(script, other) and reached:
            return wrapper(script, other), other
    return None


def _bound_again(scope: Scope, name: str, first: ast.Call, last: ast.Call) -> bool:
    """Does the name get a value that has nothing to do with its old one, between the two calls."""
    for value in scope.bound.get(name, ()):
        if value is not None and position(first) < position(value) < position(last):
            names = {dotted(node) for node in walk(value) if isinstance(node, ast.Name | ast.Attribute)}
            if name not in names:
                return True
    return False
