"""Which definitions of a file can lead to a norm: only their graphs tell of norms, and only those are built.

The interpreter follows objects of the file one level deep, functions and base classes deeper. A definition that leads
to no norm is still read when it uses what one that does uses too: a bias is spare only where every use of its layer is.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable

from normfix.readers.beside import Beside
from normfix.readers.mentions import silenced, words_in
from normfix.readers.naming import (
    depends_on_other_uses,
    may_matter_beside,
    names_norm,
    names_producer,
)
from normfix.script import FUNCTIONS, Script, walk

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Named = Definition | ast.Assign | ast.AnnAssign
_LIBRARIES = ("torch", "timm", "torchvision")


class Reach:
    """What the definitions of one file use of each other, told by the words in them."""

    def __init__(self, script: Script, definitions: Iterable[Definition], plain: Collection[str] = ()) -> None:
        """Of what stands in the `plain` classes at the top level, none counts as a norm."""
        self._script, self._plain = script, plain
        lines = script.lines
        values = [one for one in script.tree.body if isinstance(one, (ast.Assign, ast.AnnAssign))]
        nodes: list[Named] = [*definitions, *values]
        self.texts = {node: "\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in nodes}
        lines = silenced(script)
        self.code = {node: "\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in nodes}
        """The texts without what stands in them as documentation."""
        self._library = {*_LIBRARIES, *library_names(script)}
        self._norms = {name for name, dotted in script.imports.items() if names_norm(dotted)}
        self._judged = {name for name in self._norms if depends_on_other_uses(script.imports[name])}
        self._producers = {name for name, dotted in script.imports.items() if names_producer(dotted)}
        self._words: dict[Named, frozenset[str]] = {}
        self._words_of_code: dict[Named, frozenset[str]] = {}
        self._next: dict[Named, list[Named]] = {}
        self._own: dict[tuple[Named, bool], bool] = {}
        self._depending: dict[tuple[Named, bool], bool] = {}
        self._beside = Beside(script)
        self._constructing: dict[Named, bool] = {}
        self._importing: dict[Named, bool] = {}
        self.used: dict[Definition, set[Named]] = {}
        """By what is read, the definitions that run when it is."""
        self._table: dict[str, list[Named]] = {}
        for node in nodes:
            for name in _names_of(node):
                self._table.setdefault(name, []).append(node)

    def words(self, node: Named) -> frozenset[str]:
        """The words in the text of a definition."""
        if node not in self._words:
            self._words[node] = words_in(self.texts[node])
        return self._words[node]

    def mentions(self, node: Named, names: Collection[str]) -> bool:
        """Does the text of a definition hold one of these words."""
        text = self.texts[node]
        if not any(name in text for name in names):
            return False
        # Which words are in its code is asked anyhow, of most definitions.
        return not self._mentioned(node).isdisjoint(names) or not self.words(node).isdisjoint(names)

    def _mentioned(self, node: Named) -> frozenset[str]:
        """The words in its code."""
        text, code = self.texts[node], self.code[node]
        if len(code) == len(text):
            return self.words(node)
        if node not in self._words_of_code:
            self._words_of_code[node] = words_in(code)
        return self._words_of_code[node]

    def may_call_library(self, statement: ast.stmt) -> bool:
        """May a statement at the top level call something of a library, as far as its words tell."""
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            return False
        return statement not in self.texts or not self._library.isdisjoint(self.words(statement))

    def leading(
        self, definitions: Iterable[Definition], naming: Collection[ast.AST], whole: bool = True
    ) -> set[Definition]:
        """Those that lead to a norm.

        What is imported from files beside this one is followed from those that are `naming` a norm. Where the `whole`
        of them is not wanted, those are left out that know of a norm only by the default of a parameter of their own.
        """
        self.used = {one: self._followed(one) for one in definitions}
        following = naming if may_matter_beside(self._script.text) else ()
        return {one for one in self.used if self._leads(one, one in following, whole)}

    def sharing(self, leading: Iterable[Definition], whole: bool = True) -> set[Definition]:
        """Those that share code with one of those that lead to a norm."""
        shared = {
            part
            for one in leading
            if any(self._depends(part, part is one and not whole) for part in self.used[one])
            for part in self.used[one]
            if not isinstance(part, (ast.Assign, ast.AnnAssign)) and self._constructs(part)
        }
        return {one for one, parts in self.used.items() if not shared.isdisjoint(parts)}

    def _leads(self, node: Definition, beside: bool, whole: bool) -> bool:
        parts = self.used[node]
        if any(self.names(one, one is node and not whole) for one in parts):
            return True
        return beside and any(self.imports(one) for one in parts)

    def _followed(self, start: Named) -> set[Named]:
        """The definitions that are run when this one is: through one object, where it is a class, else two."""
        found = self._flat({start})
        for _ in range(1 if isinstance(start, ast.ClassDef) else 2):
            found = self._flat(found | {one for part in found for one in self._used(part)})
        return found

    def _flat(self, starts: set[Named]) -> set[Named]:
        """These, and what they use of functions, of values at the top level, and of base classes."""
        found, todo = set(starts), list(starts)
        while todo:
            node = todo.pop()
            bases = (
                {one.id for one in node.bases if isinstance(one, ast.Name)} if isinstance(node, ast.ClassDef) else ()
            )
            for one in self._used(node):
                if one not in found and (not isinstance(one, ast.ClassDef) or one.name in bases):
                    found.add(one)
                    todo.append(one)
        return found

    def _used(self, node: Named) -> list[Named]:
        if node not in self._next:
            self._next[node] = [one for name in self._table.keys() & self._mentioned(node) for one in self._table[name]]
        return self._next[node]

    def names(self, node: Named, entered: bool = False) -> bool:
        """Does this code itself name a norm, under its own name or the one that it is imported under.

        Where it is `entered`, its parameters are not known, and their defaults stand for nothing.
        """
        key = (node, entered)
        if key not in self._own:
            if (entered and not self.names(node)) or self._is_plain(node):
                return False
            self._own[key] = self.says_norm(self.entered(node) if entered else self.code[node])
        return self._own[key]

    def _is_plain(self, node: Named) -> bool:
        return isinstance(node, ast.ClassDef) and node.name in self._plain and not node.col_offset

    def says_norm(self, code: str) -> bool:
        """Does this code name a norm, under its own name or the one that it is imported under."""
        if names_norm(code):
            return True
        return self._says(self._norms, code)

    def _says(self, names: set[str], code: str) -> bool:
        return any(name in code for name in names) and not names.isdisjoint(words_in(code))

    def _constructs(self, node: Named) -> bool:
        """May this code construct a layer of which every use matters: one that feeds a norm, or a norm."""
        if node not in self._constructing:
            named = self.names(node) or names_producer(self.code[node])
            self._constructing[node] = named or not self._producers.isdisjoint(self._mentioned(node))
        return self._constructing[node]

    def _depends(self, node: Named, entered: bool) -> bool:
        """May a norm that this code leads to be judged by other uses of the code around it."""
        key = (node, entered)
        if key not in self._depending:
            code = (self.entered(node) if entered else self.code[node]) if self.names(node, entered) else ""
            named = depends_on_other_uses(code) or self._says(self._judged, code)
            self._depending[key] = named or self.imports(node)
        return self._depending[key]

    def entered(self, node: Named) -> str:
        """The code of a definition without the parameters of the function that it starts with."""
        first = constructor(node) if isinstance(node, ast.ClassDef) else node
        if not isinstance(first, FUNCTIONS):
            return self.code[node]
        lines = self.code[node].split("\n")
        start, end = first.lineno - node.lineno, first.body[0].lineno - node.lineno
        lines[start:end] = [""] * (end - start)
        return "\n".join(lines)

    def imports(self, node: Named) -> bool:
        """Does this code use something that a file beside this one defines, and that may lead to a norm there."""
        if node not in self._importing:
            self._importing[node] = self._beside.leads(node, self.code[node], self._mentioned(node))
        return self._importing[node]

    def may_import(self, code: str) -> bool:
        """May this part of the code of a definition do so."""
        return bool(self._beside.leading(words_in(code)))


def constructor(node: ast.ClassDef) -> ast.FunctionDef | None:
    """The last `__init__` in the body of a class."""
    found = (one for one in reversed(node.body) if isinstance(one, ast.FunctionDef) and one.name == "__init__")
    return next(found, None)


def library_names(script: Script) -> set[str]:
    """What is imported here from a library of layers."""
    return {name for name, dotted in script.imports.items() if dotted.partition(".")[0] in _LIBRARIES}


def definitions(script: Script) -> list[Definition]:
    """Functions at the top level, and classes wherever they stand but in another class."""
    inside = (ast.ClassDef, *FUNCTIONS)
    plain = [node for node in script.of_type(ast.FunctionDef) if script.enclosing(node, inside) is None]
    asynchronous = [node for node in script.of_type(ast.AsyncFunctionDef) if script.enclosing(node, inside) is None]
    classes = [node for node in script.of_type(ast.ClassDef) if script.enclosing(node, ast.ClassDef) is None]
    found: list[Definition] = [*plain, *asynchronous, *classes]
    return sorted(found, key=lambda node: node.lineno)


def _names_of(node: Named) -> list[str]:
    """The names that a definition or a statement binds."""
    if isinstance(node, ast.Assign):
        return [one.id for target in node.targets for one in walk(target) if isinstance(one, ast.Name)]
    if isinstance(node, ast.AnnAssign):
        return [node.target.id] if isinstance(node.target, ast.Name) else []
    return [node.name]
