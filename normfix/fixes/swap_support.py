"""What swapped norms need beside them: names to import, and a helper for widths that only the program knows."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from normfix.errors import Refused
from normfix.fixes.edits import Edit, Fix
from normfix.fixes.source import Source, parse
from normfix.fixes.verify import difference
from normfix.script import Script

_GROUPS = '''def _groups(channels, least=1):
    """The largest divisor of `channels`, at most {most}, that leaves `least` channels a group."""
    return max(groups for groups in range(1, {most} + 1) if channels % groups == 0 and channels // groups >= least)
'''
_FACTORY = """def {name}(channels, **options):
    return {made}
"""


def group_count(channels: int, most: int, least: int) -> int:
    """The largest divisor of `channels`, at most `most`, that leaves `least` channels a group. Raises `Refused`."""
    fitting = [n for n in range(1, most + 1) if channels % n == 0 and channels // n >= least]
    if not fitting:
        raise Refused(f"a group of its {channels} channel{'' if channels == 1 else 's'} would hold one element")
    return max(fitting)


class Support:
    """Collects what the swaps of one file need, and adds it below the imports."""

    def __init__(self, source: Source, script: Script, kind: str, most: int) -> None:
        self._source, self._script, self._kind, self._most = source, script, kind, most
        self.swapped: set[ast.AST] = set()
        """The names of old classes that are written no more."""
        self._definitions: dict[str, str] = {}
        self._imports: dict[str, ast.alias | None] = {}

    def class_name(self, callee: ast.expr, new: str) -> str:
        """How the file names the new class, with the same prefix as the old one where there is one."""
        package, _, name = new.rpartition(".")
        if package:
            self._imports[f"from torchvision.ops import {name}"] = None
            return name
        if isinstance(callee, ast.Attribute):
            start, end = self._source.span(callee.value)
            return f"{self._source.text[start:end]}.{name}"
        prefix = torch_nn(self._script)
        if prefix is None:
            alias = next(one for one in self._aliases() if (one.asname or one.name) == getattr(callee, "id", ""))
            self._imports[name] = alias
        return f"{prefix}.{name}" if prefix else name

    def groups(self, width: str, least: int) -> str:
        """An expression for the number of groups."""
        self._definitions["_groups"] = _GROUPS.format(most=self._most)
        return f"_groups({width})" if least == 1 else f"_groups({width}, {least})"

    def factory(self, node: ast.expr, name: str, new: str) -> str:
        """The name of a function that builds the new norm from its width alone, as the old class did."""
        layer = self.class_name(node, new)
        if self._kind == "frozen_batch":
            return layer
        flat = name == "BatchNorm1d"
        if self._kind == "instance":
            helper = f"_instance_norm{name[-2:]}"
            made = f"{layer}(channels, **{{'affine': True, **options}})".replace("'", '"')
        elif self._kind == "layer":
            helper, made = "_layer_norm", f"{layer}(1, channels, **options)"
        else:
            helper = "_group_norm1d" if flat else "_group_norm"
            made = f"{layer}({self.groups('channels', 2 if flat else 1)}, channels, **options)"
        self._definitions[helper] = _FACTORY.format(name=helper, made=made)
        return helper

    def fixes(self) -> Iterator[Fix]:
        """The additions themselves. Raises `Refused` where they find no place."""
        for name, alias in self._imports.items():
            if alias is not None:
                yield self._imported(alias, name)
        lines = [name for name, alias in self._imports.items() if alias is None]
        definitions = [text for name, text in self._definitions.items() if not self._there(name, text)]
        if lines or definitions:
            yield self._added(lines, definitions)

    def _added(self, lines: list[str], definitions: list[str]) -> Fix:
        body = self._source.tree.body
        first = next((i for i, one in enumerate(body) if isinstance(one, (ast.ClassDef, ast.FunctionDef))), len(body))
        imports = [one for one in body[:first] if isinstance(one, (ast.Import, ast.ImportFrom))]
        if not imports:
            raise Refused("it has no import at its top level to add a helper below")
        newline = self._source.newline()
        after = self._source.line_around(self._source.span(imports[-1])[1])[1]
        text = "".join(f"{line}\n" for line in lines) + "".join(f"\n\n{one}" for one in definitions)
        if definitions and self._source.text[after:].lstrip(" \t\f")[:1] not in ("\r", "\n", ""):
            text += "\n\n"
        new = parse(text).body

        def intend() -> None:
            index = body.index(imports[-1]) + 1
            body[index:index] = new

        return Fix((Edit(after, after, text.replace("\n", newline)),), intend)

    def _there(self, name: str, text: str) -> bool:
        for node in ast.walk(self._source.tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
                if difference(node, parse(text).body[0]) is not None:
                    raise Refused(f"`{name}` is defined already, as something else")
                return True
        return False

    def _imported(self, alias: ast.alias, name: str) -> Fix:
        """One more name in a `from torch.nn import`, or another one where the old class is used no more."""
        start, end = self._source.span(alias)
        old = alias.asname or alias.name
        needed = any(node.id == old and node not in self.swapped for node in self._script.of_type(ast.Name))
        statement = self._source.places[alias][0]
        assert isinstance(statement, ast.ImportFrom)

        def intend() -> None:
            index = statement.names.index(alias)
            statement.names[index : index + 1] = [alias, ast.alias(name)] if needed else [ast.alias(name)]

        return Fix((Edit(end, end, f", {name}") if needed else Edit(start, end, name),), intend)

    def _aliases(self) -> Iterator[ast.alias]:
        for statement in self._script.of_type(ast.ImportFrom):
            if statement.module == "torch.nn":
                yield from statement.names


def torch_nn(script: Script) -> str | None:
    """How a file says `torch.nn`; None where it imports only names from it."""
    for name, full in script.imports.items():
        if full == "torch.nn" and "." not in name:
            return name
    return "torch.nn" if script.imports.get("torch") == "torch" else None
