"""Which classes can be left after their constructor when only findings are wanted: no rule finds anything behind it.

Every rule that looks at graphs looks at norms. `interpreter/leaving.py` tells from the layers that a constructor made
whether those that are there matter; here the text tells that nothing behind it adds to them: it names no norm, uses
nothing of the files beside that leads to one, and calls no class that does either. Other uses of a layer are found in
the graphs that are left, too: `Script.further` gives those of the classes that share code.
"""

from __future__ import annotations

import ast
import re

from normfix.lazy import pattern
from normfix.readers.naming import without_probes
from normfix.readers.reaching import Definition, Named, Reach, constructor

_CONVOLUTION = pattern(r"onv(?:Transpose)?[123]d")
_OWN = pattern(r"self\s*\.\s*\w+")
"""An attribute is what a constructor made of it: `self.LayerNorm(x)` calls a layer that is known by then."""


class Brevity:
    """Judges the classes of one file; each of their parts once."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._behind: dict[Named, str] = {}
        self._silent: dict[Named, bool] = {}
        self._feeding: dict[Named, bool] = {}
        self._building: dict[Named, bool] = {}

    def may_leave(self, node: Definition) -> bool:
        """Does nothing behind the constructors of a class and its parts make or call a norm that they did not make."""
        if not isinstance(node, ast.ClassDef):
            return False
        parts = self._reach.used[node]
        if not all(self._is_silent(part) for part in parts):
            return False
        building = [part for part in parts if isinstance(part, ast.ClassDef) and self._may_build(part)]
        return not any(self._calls(part, one) for part in parts for one in building if one is not part)

    def feeds_late(self, node: Definition) -> bool:
        """May something feed a layer norm here that matters and that no constructor makes."""
        return any(self._feeds(part) for part in self._reach.used[node])

    def _is_silent(self, part: Named) -> bool:
        if part not in self._silent:
            named = self._reach.names(part) and self._reach.says_norm(_OWN.sub("", self._code_behind(part)))
            self._silent[part] = not named and not self._imports_behind(part)
        return self._silent[part]

    def _imports_behind(self, part: Named) -> bool:
        if not self._reach.imports(part):
            return False
        head = part.body[0].lineno - part.lineno if isinstance(part, ast.ClassDef) else 0
        return self._reach.may_import("\n".join(self._code_behind(part).split("\n")[head:]))

    def _may_build(self, part: Named) -> bool:
        if part not in self._building:
            named = self._reach.names(part)
            self._building[part] = named or _may_feed(self._reach.code[part])
        return self._building[part]

    def _feeds(self, part: Named) -> bool:
        if part not in self._feeding:
            self._feeding[part] = _may_feed(without_probes(self._code_behind(part)))
        return self._feeding[part]

    def _calls(self, part: Named, cls: ast.ClassDef) -> bool:
        """Is a class called behind the constructor, or given another name there."""
        behind = self._code_behind(part)
        return cls.name in behind and re.search(rf"(?m)\b{cls.name}\b[ \t]*(?:\(|$)", behind) is not None

    def _code_behind(self, part: Named) -> str:
        """The code of a definition but for the constructor."""
        if part not in self._behind:
            self._behind[part] = self._cut(part)
        return self._behind[part]

    def _cut(self, part: Named) -> str:
        code = self._reach.code[part]
        first = constructor(part) if isinstance(part, ast.ClassDef) else None
        if first is None or first.end_lineno is None:
            return code
        lines = code.split("\n")
        start, end = first.lineno - part.lineno, first.end_lineno - part.lineno + 1
        lines[start:end] = [""] * (end - start)
        return "\n".join(lines)


def _may_feed(code: str) -> bool:
    """May something feed a layer norm of unknown width here so that a rule has something to say."""
    return "spectral_norm" in code or _CONVOLUTION.search(code) is not None
