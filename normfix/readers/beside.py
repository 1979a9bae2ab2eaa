"""What a file uses of the files beside it: whether that may lead to a norm, told from their texts."""

from __future__ import annotations

import ast
import re
from collections.abc import Set

from normfix.readers.mentions import uses
from normfix.readers.naming import matters_beside
from normfix.readers.siblings import FOREIGN
from normfix.script import Script


class Beside:
    """Judges the imported names of one file, each once."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._near = {name for name, dotted in script.imports.items() if dotted.partition(".")[0] not in FOREIGN}
        """The imported names that may stand for something of a file beside this one."""
        self._leading: dict[str, bool] = {}
        """By an imported name."""
        self._texts: dict[str, str | None] = {}

    def leads(self, node: ast.stmt, code: str, words: Set[str]) -> bool:
        """Does this code, which holds these words, use something beside this file that may lead to a norm there."""
        names = self.leading(words)
        dotted = sorted(uses(node, code, self._script, names)) if names else []
        return any(self._one_leads(one) for one in dotted)

    def leading(self, words: Set[str]) -> set[str]:
        """The words among these that something beside this file is imported under which may lead to a norm there."""
        return {name for name in self._near & words if self._may_lead(name)}

    def _may_lead(self, name: str) -> bool:
        """Does an imported name stand for a block that leads to a norm, or for a module, of which parts do."""
        if name not in self._leading:
            dotted = self._script.imports[name]
            self._leading[name] = self._one_leads(dotted) or (
                f"{name}." in self._script.text and not self._text(dotted) and self._part_leads(name)
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
                if self._one_leads(dotted):
                    return True
        return False

    def _one_leads(self, dotted: str) -> bool:
        found = self._text(dotted)
        return found is not None and matters_beside(self._script.text, found)

    def _text(self, dotted: str) -> str | None:
        if dotted not in self._texts:
            self._texts[dotted] = self._script.text_beside(dotted)
        return self._texts[dotted]
