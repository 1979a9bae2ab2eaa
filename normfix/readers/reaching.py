"""Which definitions of a file can lead to a norm: only their graphs tell of norms, and only those are built.

The interpreter follows objects of the file one level deep, functions and base classes deeper. A definition that leads
to no norm is still read when it uses what one that does uses too: a bias is spare only where every use of its layer is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable

from normfix.readers.mentions import lines_of, silence, uses, without_comments, words_in
from normfix.readers.naming import depends_on_other_uses, matters_beside, may_matter_beside, names_norm
from normfix.readers.siblings import FOREIGN
from normfix.script import FUNCTIONS, Script, walk

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Named = Definition | ast.Assign | ast.AnnAssign
_LIBRARIES = ("torch", "timm", "torchvision")


class Reach:
    """What the definitions of one file use of each other, told by the words in them."""

    def __init__(self, script: Script, definitions: Iterable[Definition]) -> None:
        self._script = script
        lines = lines_of(script.text)
        values = [one for one in script.tree.body if isinstance(one, (ast.Assign, ast.AnnAssign))]
        nodes: list[Named] = [*definitions, *values]
        self.texts = {node: "\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in nodes}
        silence(script, lines)
        self._code = {node: "\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in nodes}
        """The texts without what stands in them as documentation."""
        self._library = {*_LIBRARIES, *library_names(script)}
        self._norms = {name for name, dotted in script.imports.items() if names_norm(dotted)}
        self._judged = {name for name in self._norms if depends_on_other_uses(script.imports[name])}
        self._words: dict[Named, frozenset[str]] = {}
        self._words_of_code: dict[Named, frozenset[str]] = {}
        self._next: dict[Named, list[Named]] = {}
        self._own: dict[Named, bool] = {}
        self._depending: dict[Named, bool] = {}
        self._beside: dict[Named, bool] = {}
        self._leading: dict[str, bool] = {}
        """By an imported name."""
        self._texts_beside: dict[str, str | None] = {}
        self._table: dict[str, list[Named]] = {}
        for node in nodes:
            for name in _names_of(node):
                self._table.setdefault(name, []).append(node)

    def words(self, node: Named) -> frozenset[str]:
        """The words in the text of a definition."""
        if node not in self._words:
            self._words[node] = words_in(self.texts[node])
        return self._words[node]

    def _mentioned(self, node: Named) -> frozenset[str]:
        """The words in its code."""
        text, code = self.texts[node], self._code[node]
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

    def worth_reading(self, definitions: Iterable[Definition], naming: Collection[ast.AST]) -> set[Definition]:
        """Those that lead to a norm, and those that share code with one that does.

        What is imported from files beside this one is followed from those that are `naming` a norm.
        """
        used = {one: self._followed(one) for one in definitions}
        leading = [one for one, parts in used.items() if self._leads(parts, one in naming)]
        shared = {
            part
            for one in leading
            if any(self._depends(part) for part in used[one])
            for part in used[one]
            if not isinstance(part, (ast.Assign, ast.AnnAssign))
        }
        return {*leading, *(one for one, parts in used.items() if not shared.isdisjoint(parts))}

    def _leads(self, parts: Iterable[Named], beside: bool) -> bool:
        if any(self._names(one) for one in parts):
            return True
        return beside and may_matter_beside(self._script.text) and any(self._imports(one) for one in parts)

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

    def _names(self, node: Named) -> bool:
        """Does this code itself name a norm, under its own name or the one that it is imported under."""
        if node not in self._own:
            named = names_norm(self._code[node]) and names_norm(without_comments(self._code[node]))
            self._own[node] = named or not self._norms.isdisjoint(self._mentioned(node))
        return self._own[node]

    def _depends(self, node: Named) -> bool:
        """May a norm that this code leads to be judged by other uses of the code around it."""
        if node not in self._depending:
            named = self._names(node) and depends_on_other_uses(self._code[node])
            imported = named or not self._judged.isdisjoint(self._mentioned(node))
            self._depending[node] = imported or self._imports(node)
        return self._depending[node]

    def _imports(self, node: Named) -> bool:
        """Does this code use something that a file beside this one defines, and that may lead to a norm there."""
        if node not in self._beside:
            names = {
                name for name in self._script.imports.keys() & self._mentioned(node) if self._may_lead_beside(name)
            }
            dotted = sorted(uses(node, self._code[node], self._script, names)) if names else []
            self._beside[node] = any(self._leads_beside(one) for one in dotted)
        return self._beside[node]

    def _may_lead_beside(self, name: str) -> bool:
        """Does an imported name stand for a block that leads to a norm, or for a module, of which parts do."""
        if name not in self._leading:
            dotted = self._script.imports[name]
            self._leading[name] = dotted.partition(".")[0] not in FOREIGN and (
                self._leads_beside(dotted)
                or (f"{name}." in self._script.text and not self._text_beside(dotted) and self._part_leads(name))
            )
        return self._leading[name]

    def _part_leads(self, name: str) -> bool:
        """Does a part of a module lead to a norm, of those that the file names."""
        module = self._script.imports[name]
        # The name stands first: Python looks for it fast, and only then at what is before it.
        for found in set(re.findall(rf"{name}(?<!\w{name})((?:\s*\.\s*\w+)+)", self._script.text)):
            dotted = module
            for part in "".join(found.split())[1:].split("."):
                dotted = f"{dotted}.{part}"
                if self._leads_beside(dotted):
                    return True
        return False

    def _leads_beside(self, dotted: str) -> bool:
        found = self._text_beside(dotted)
        return found is not None and matters_beside(self._script.text, found)

    def _text_beside(self, dotted: str) -> str | None:
        if dotted not in self._texts_beside:
            self._texts_beside[dotted] = self._script.text_beside(dotted)
        return self._texts_beside[dotted]


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
