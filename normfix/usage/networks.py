"""What networks a source file defines and builds, and whether batch norm or dropout is in them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache

from normfix import vocabulary
from normfix.records import dataclass
from normfix.script import FUNCTIONS, Function, Script, walk
from normfix.usage.modules import BATCH_NORMS, FILES, definitions, is_module_class, starred
from normfix.usage.steps import Scope, dotted, scope_of, scopes, switch, unwrapped
from normfix.usage.zoo import is_library_network, names_batch_norm


@dataclass(frozen=True, slots=True)
class Contents:
    """Is it in the network: True, False, or None where that is not known."""

    batch_norm: bool | None
    dropout: bool | None
    frozen: bool = False
    """Code of this network puts its batch norms in eval mode for good."""
    switches: bool = False
    """Code of it that another file holds calls eval() or train() itself."""

    @property
    def sensitive(self) -> bool | None:
        """Does eval() change what this network computes."""
        if self.batch_norm or self.dropout:
            return True
        return False if self.batch_norm is False and self.dropout is False else None


UNKNOWN = Contents(None, None)


def contents(script: Script, value: ast.expr | None) -> Contents:
    """What is known of the network that an expression builds."""
    if value is None:
        return UNKNOWN
    core = unwrapped(value)
    if not isinstance(core, ast.Call):
        return UNKNOWN
    name = script.resolve(core.func)
    definition = definitions(script).get(dotted(core.func))
    if definition is not None:
        return _closure(script, definition)
    if is_library_network(name, core):
        return Contents(True, None) if names_batch_norm(name, core) else UNKNOWN
    if name.startswith("torch.nn."):
        return _closure(script, core)
    return _beside(script, name, FILES)


def defined(script: Script, name: str) -> Contents:
    """What the class or function of this name, at the top level of the file, holds."""
    definition = definitions(script).get(name)
    return _closure(script, definition) if definition is not None else UNKNOWN


def _beside(script: Script, name: str, depth: int) -> Contents:
    """What a class or function of another file holds. Of a library's base of models it is not known, wherever it is."""
    if name.rpartition(".")[2] == "PreTrainedModel":
        return UNKNOWN
    other, own = (script.sibling(name) or starred(script, name) if depth and name else None) or (script, "")
    definition = definitions(other).get(own)
    if definition is None or (depth < FILES and not _builds_one_network(other, definition)):
        return UNKNOWN
    return _held(other, definition, depth - 1)


@lru_cache(maxsize=64)
def _held(script: Script, definition: ast.ClassDef | Function, depth: int) -> Contents:
    """What a class or function holds, for code of another file, and whether it calls eval() or train()."""
    roots = reached(script, definition)
    known = _inside(script, roots, depth)
    calls = (node for root in roots for node in walk(root) if isinstance(node, ast.Call))
    return Contents(known.batch_norm, known.dropout, known.frozen, known.switches or any(map(switch, calls)))


def _builds_one_network(script: Script, definition: ast.ClassDef | Function) -> bool:
    """Is it a class of modules, or a function that makes the same choice each time."""
    if isinstance(definition, ast.ClassDef):
        return is_module_class(script, definition)
    return not any(isinstance(one, ast.If | ast.IfExp | ast.Match) for one in walk(definition))


@lru_cache(maxsize=64)
def _closure(script: Script, start: ast.AST) -> Contents:
    return _inside(script, reached(script, start), FILES)


def reached(script: Script, start: ast.AST) -> list[ast.AST]:
    """A class, function or expression, and every class and function at the top level that it names, directly or not."""
    table = definitions(script)
    seen: dict[ast.AST, None] = {start: None}
    todo = [start]
    while todo:
        for node in walk(todo.pop()):
            found = table.get(node.id) if isinstance(node, ast.Name) else None
            if found is not None and found not in seen:
                seen[found] = None
                todo.append(found)
    return list(seen)


def _built(root: ast.AST) -> Iterator[ast.AST]:
    """The nodes below one, but for names of layers that no network holds.

    They are only compared with, in the arguments of isinstance, or built, called and dropped: `nn.BatchNorm1d(8)(x)`.
    """
    probes: set[ast.AST] = set()
    for node in walk(root):
        if isinstance(node, ast.Call):
            if dotted(node.func) in ("isinstance", "issubclass", "type"):
                probes.update(part for one in node.args for part in walk(one))
            if isinstance(node.func, ast.Call):
                probes.add(node.func.func)
        if node not in probes:
            yield node


def _inside(script: Script, roots: list[ast.AST], depth: int) -> Contents:
    batch_norm = dropout = freezes = False
    elsewhere: dict[str, None] = {}
    own = definitions(script)
    for node in (node for root in roots for node in _built(root)):
        if isinstance(node, ast.Name | ast.Attribute):
            last = script.resolve(node).rpartition(".")[2]
            if last not in own:
                batch_norm, dropout = batch_norm or last in BATCH_NORMS, dropout or last in vocabulary.DROPOUTS
        if isinstance(node, ast.Call) and _is_opaque(script, node, own):
            name = script.resolve(node.func)
            batch_norm = batch_norm or (is_library_network(name, node) and names_batch_norm(name, node))
            elsewhere[name] = None
        if isinstance(node, ast.ClassDef):
            others = [one for one in node.bases if not _is_plain_base(script, one, own)]
            elsewhere.update(dict.fromkeys(script.resolve(one) for one in others))
        freezes = freezes or (isinstance(node, *[FUNCTIONS]) and node.name == "train")
    found = Contents(batch_norm, dropout, freezes)
    for name in elsewhere:
        # What other files hold is looked at only where it matters: where no batch norm was met.
        found = _together(found, UNKNOWN if found.batch_norm else _beside(script, name, depth))
    return found


def _together(one: Contents, other: Contents) -> Contents:
    norm = one.batch_norm or other.batch_norm or (None if None in (one.batch_norm, other.batch_norm) else False)
    drop = one.dropout or other.dropout or (None if None in (one.dropout, other.dropout) else False)
    return Contents(norm, drop, one.frozen or other.frozen, one.switches or other.switches)


def _is_plain_base(script: Script, node: ast.expr, own: dict[str, ast.ClassDef | Function]) -> bool:
    name = script.resolve(node)
    return (
        name in own or name.startswith("torch.nn.") or name.rpartition(".")[2] in ("LightningModule", "ABC", "object")
    )


def _is_opaque(script: Script, call: ast.Call, own: dict[str, ast.ClassDef | Function]) -> bool:
    """May this call build a layer that the file does not show."""
    name = script.resolve(call.func)
    root = name.partition(".")[0]
    imported = root in _roots(script) and name not in own
    if isinstance(call.func, ast.Name) and not imported and name not in own and name[:1].isupper():
        return bool(script.stars)
    return imported and root not in ("torch", "math", "numpy", "einops", "typing", "functools", "collections", "copy")


@lru_cache(maxsize=8)
def _roots(script: Script) -> frozenset[str]:
    return frozenset(one.partition(".")[0] for one in script.imports.values())


def batch_normed_networks(script: Script) -> Iterator[tuple[str, ast.expr, Scope]]:
    """Each network with batch norm that the file builds outside a module class: its name, its value, its scope."""
    for scope in scopes(script).values():
        owner = script.class_of(scope.node)
        if owner is not None and is_module_class(script, owner) and not _is_managed(script, owner):
            continue
        for name, values in scope.bound.items():
            for value in values:
                if value is not None and contents(script, value).batch_norm:
                    yield name, value, scope


def _is_managed(script: Script, owner: ast.ClassDef) -> bool:
    return any(script.resolve(one).rpartition(".")[2] == "LightningModule" for one in owner.bases)


def network_of(script: Script, node: ast.AST, name: str) -> ast.expr | None:
    """The expression that built the network of this name: in the scope of a node, or at the top level."""
    here = scope_of(script, node)
    found = here.value(name)
    if found is None and name not in here.bound and name not in here.parameters():
        found = scopes(script)[script.tree].value(name)
    return found
