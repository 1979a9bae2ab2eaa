"""Which attributes of a module class hold batch norm."""

import ast

from normfix.script import FUNCTIONS, Script, walk
from normfix.usage.modules import BATCH_NORMS, layer_kind
from normfix.usage.parts import holding
from normfix.usage.steps import Scope, dotted, scopes


def normed_attributes(script: Script, owner: ast.ClassDef) -> set[str]:
    """Attributes of a class that hold batch norm."""
    found: set[str] = set()
    for method in (scopes(script)[one] for one in owner.body if isinstance(one, FUNCTIONS)):
        for name, values in method.bound.items():
            if name.startswith("self.") and any(_holds_batch_norm(script, method, value) for value in values):
                found.add(name)
    return found


def _holds_batch_norm(script: Script, scope: Scope, value: ast.expr | None) -> bool:
    if not isinstance(value, ast.Call):
        return False
    if layer_kind(script, value) in BATCH_NORMS:
        return True
    known = holding(script, scope, value)
    if known.batch_norm:
        return not known.frozen
    unpacked = [one.value for one in value.args if isinstance(one, ast.Starred)]
    lists = [one for star in unpacked if dotted(star) for one in scope.bound.get(dotted(star), ()) if one is not None]
    return any(layer_kind(script, node) in BATCH_NORMS for one in lists for node in walk(one))
