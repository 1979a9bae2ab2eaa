"""What is found out once for a file, whatever number of graphs it gives."""

from __future__ import annotations

import ast

from normfix.graph import Site
from normfix.readers.interpreter.arguments import Signature
from normfix.readers.interpreter.loops import Loop, Rounds
from normfix.readers.interpreter.scopes import collect_local, lookup, module_scope
from normfix.readers.interpreter.values import Class, Function, Scope
from normfix.script import FUNCTIONS, Script, children, walk

_ATTRIBUTE, _ENDS = ast.Attribute, frozenset({ast.Name, ast.Constant})


class Memo:
    """What is found out once for a file, whatever number of graphs it gives."""

    def __init__(self) -> None:
        self.read: set[ast.AST] = set()
        """Classes and functions that have a graph of their own."""
        self.naming: set[ast.AST] = set()
        """Classes and functions that name a norm themselves."""
        self.brief: dict[ast.AST, bool] = {}
        """Classes that may be left after their constructor; whether something feeds layer norms there."""
        self._modules: dict[int, Scope] = {}
        self._blocks: dict[tuple[int, str], Class | Function | None] = {}
        self._rounds: dict[Loop, Rounds] = {}
        self._signatures: dict[ast.AST, Signature] = {}
        self._attributes: dict[ast.AST, list[ast.Attribute]] = {}
        self._generators: dict[ast.AST, bool] = {}
        self._yielding: dict[int, bool] = {}
        self._sites: dict[ast.AST, Site] = {}
        self._texts: dict[ast.AST, str] = {}

    def module_of(self, script: Script) -> Scope:
        if id(script) not in self._modules:
            self._modules[id(script)] = module_scope(script)
        return self._modules[id(script)]

    def scope_of(self, definition: ast.AST, script: Script) -> Scope:
        """The scope that a class stands in: the file's, or that of the function around it, whose values are unknown."""
        around = script.enclosing(definition, FUNCTIONS)
        if not isinstance(around, FUNCTIONS):
            return self.module_of(script)
        scope = Scope(self.scope_of(around, script), script, around.name)
        collect_local(around, scope)
        return scope

    def block_beside(self, script: Script, name: str) -> Class | Function | None:
        key = (id(script), name)
        if key not in self._blocks:
            beside, own = script.sibling(name) or (script, "")
            found = lookup(self.module_of(beside), own) if beside is not script else None
            self._blocks[key] = found if isinstance(found, (Class, Function)) else None
        return self._blocks[key]

    def attributes(self, function: ast.AST) -> list[ast.Attribute]:
        if function not in self._attributes:
            self._attributes[function] = _attributes(function)
        return self._attributes[function]

    def is_generator(self, function: ast.AST, script: Script) -> bool:
        if function not in self._generators:
            if id(script) not in self._yielding:
                self._yielding[id(script)] = "yield" in script.text
            self._generators[function] = self._yielding[id(script)] and _yields(function)
        return self._generators[function]

    def site(self, node: ast.AST, scope: Scope) -> Site:
        """Where a node stands that is read in this scope: a block is followed in every class that uses it."""
        found = self._sites.get(node)
        if found is None:
            found = self._sites[node] = Site(scope.script.origin_of(node))
        return found

    def text(self, node: ast.AST, scope: Scope) -> str:
        """A node as it is written, that is read in this scope."""
        found = self._texts.get(node)
        if found is None:
            found = self._texts[node] = scope.script.source(node)
        return found

    def signature(self, function: Function) -> Signature:
        if function.node not in self._signatures:
            self._signatures[function.node] = Signature(function.node.args)
        return self._signatures[function.node]

    def rounds(self, loop: Loop) -> Rounds:
        if loop not in self._rounds:
            self._rounds[loop] = Rounds(loop)
        return self._rounds[loop]


def _yields(function: ast.AST) -> bool:
    return any(type(node) in (ast.Yield, ast.YieldFrom) for node in walk(function))


def _attributes(function: ast.AST) -> list[ast.Attribute]:
    """Every attribute in a function; most nodes are names and constants, and end there."""
    found: list[ast.Attribute] = []
    nodes = [function]
    for node in nodes:
        kind = type(node)
        if kind is _ATTRIBUTE:
            found.append(node)  # type: ignore[arg-type]  # it is an attribute, as just tested
            nodes.append(node.value)  # type: ignore[attr-defined]  # likewise
        elif kind not in _ENDS:
            nodes += children(node)
    return found
