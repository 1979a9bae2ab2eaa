"""Which definitions of a file can lead to a norm: only their graphs tell of norms, and only those are built.

The interpreter follows objects of the file one level deep, functions and base classes deeper. A definition that leads
to no norm is still read when it uses what one that does uses too: a bias is spare only where every use of its layer is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable

from normfix.readers.naming import depends_on_other_uses, matters_beside, may_matter_beside, names_norm
from normfix.readers.siblings import FOREIGN
from normfix.script import FUNCTIONS, Script, children, walk

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Named = Definition | ast.Assign | ast.AnnAssign
_NEWLINES = re.compile("\r\n|\r|\n")
"""What ends a line for the parser."""
_WORDS = re.compile(r"\w+")


class Reach:
    """What the definitions of one file use of each other, told by the words in them."""

    def __init__(self, script: Script, definitions: Iterable[Definition]) -> None:
        self._script = script
        lines = _NEWLINES.split(script.text)
        values = [one for one in script.tree.body if isinstance(one, (ast.Assign, ast.AnnAssign))]
        nodes: list[Named] = [*definitions, *values]
        self.texts = {node: "\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in nodes}
        self.words = {node: set(_WORDS.findall(text)) for node, text in self.texts.items()}
        self._own: dict[Named, bool] = {}
        self._beside: dict[Named, bool] = {}
        self._texts_beside: dict[str, str | None] = {}
        self._table: dict[str, list[Named]] = {}
        for node in nodes:
            for name in _names_of(node):
                self._table.setdefault(name, []).append(node)

    def worth_reading(self, definitions: Iterable[Definition], naming: Collection[ast.AST]) -> set[Definition]:
        """Those that lead to a norm, and those that share code with one that does.

        What is imported from files beside this one is followed from those that are `naming` a norm.
        """
        used = {one: self._followed(one) for one in definitions}
        leading = [one for one, parts in used.items() if self._leads(parts, one in naming)]
        if not depends_on_other_uses(self._script.text) and not any(
            self._imports(part) for one in leading for part in used[one]
        ):
            return set(leading)
        shared = {part for one in leading for part in used[one] if not isinstance(part, (ast.Assign, ast.AnnAssign))}
        return {one for one, parts in used.items() if not shared.isdisjoint(parts)}

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
        return [one for name in self._table.keys() & self.words[node] for one in self._table[name]]

    def _names(self, node: Named) -> bool:
        """Does this code itself name a norm, under its own name or the one that it is imported under."""
        if node not in self._own:
            imports = self._script.imports
            self._own[node] = names_norm(self.texts[node]) or any(
                names_norm(imports[name]) for name in imports.keys() & self.words[node]
            )
        return self._own[node]

    def _imports(self, node: Named) -> bool:
        """Does this code use something that a file beside this one defines, and that may lead to a norm there."""
        if node not in self._beside:
            names = {name for name in self._script.imports.keys() & self.words[node] if self._may_lead_beside(name)}
            dotted = sorted(_uses(node, self._script, names)) if names else []
            self._beside[node] = any(self._leads_beside(one) for one in dotted)
        return self._beside[node]

    def _may_lead_beside(self, name: str) -> bool:
        """Does an imported name stand for a block that leads to a norm, or for a module, of which parts may."""
        dotted = self._script.imports[name]
        if dotted.partition(".")[0] in FOREIGN:
            return False
        return self._leads_beside(dotted) or (f"{name}." in self._script.text and not self._text_beside(dotted))

    def _leads_beside(self, dotted: str) -> bool:
        found = self._text_beside(dotted)
        return found is not None and matters_beside(self._script.text, found)

    def _text_beside(self, dotted: str) -> str | None:
        if dotted not in self._texts_beside:
            self._texts_beside[dotted] = self._script.text_beside(dotted)
        return self._texts_beside[dotted]


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


def _uses(node: Named, script: Script, names: Collection[str]) -> set[str]:
    """The dotted names that stand, with these at their head, where code runs: not as a base, in an annotation."""
    found: set[str] = set()
    todo: list[ast.AST] = [node]
    while todo:
        one = todo.pop()
        if isinstance(one, ast.Attribute) and (dotted := script.resolve(one)):
            found.add(dotted)
        elif isinstance(one, ast.Name) and one.id in names:
            found.add(script.imports[one.id])
        silent = _silent(one)
        todo += [part for part in children(one) if part not in silent] if silent else children(one)
    heads = {script.imports[name] for name in names}
    return {one for one in found if any(one == head or one.startswith(f"{head}.") for head in heads)}


def _silent(node: ast.AST) -> list[ast.AST]:
    """The parts of a node that are no code to be followed."""
    if isinstance(node, ast.ClassDef):
        return [*node.bases, *node.decorator_list]
    if isinstance(node, FUNCTIONS):
        return [*node.decorator_list, *([node.returns] if node.returns else [])]
    annotation = getattr(node, "annotation", None)
    return [annotation] if annotation is not None else []
