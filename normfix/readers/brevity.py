"""Which classes can be left after their constructor when only findings are wanted: no rule finds anything behind it.

A layer norm is judged by its eps, by being used at all, and by what feeds it: where its width is known, where a
convolution does, or a layer whose weight is reparametrized. `interpreter/leaving.py` looks at the layers themselves;
here the text tells that nothing behind the constructor adds to them.
"""

from __future__ import annotations

import ast

from normfix.lazy import pattern
from normfix.readers.reaching import Definition, Named, Reach, constructor

_FEEDING = pattern(r"onv(?:_transpose|Transpose)?[123]d|weight_norm|spectral_norm")
_SETTING = pattern(r"\.eps\s*=(?!=)|setattr\(")


def adds_no_norm(reach: Reach, node: Definition) -> bool:
    """Does a class, with its parts, build and call no norm but layer norms that constructors build.

    Its graph is its own affair: it shares no code with one of which every use matters.
    """
    if not isinstance(node, ast.ClassDef) or not reach.shared.isdisjoint(reach.used[node]):
        return False
    return all(_is_plain(reach, part, part is node) for part in reach.used[node])


def is_fed(reach: Reach, node: Definition) -> bool:
    """May something feed a layer norm here that matters though the width of the norm is not known."""
    return any(_FEEDING.search(reach.code[part]) for part in reach.used[node])


def _is_plain(reach: Reach, part: Named, entered: bool) -> bool:
    if _SETTING.search(reach.code[part]) or reach.imports(part):
        return False
    if not reach.names(part, entered):
        return True
    first = constructor(part) if isinstance(part, ast.ClassDef) else None
    if first is None or first.end_lineno is None:
        return False
    lines = (reach.entered(part) if entered else reach.code[part]).split("\n")
    start, end = first.lineno - part.lineno, first.end_lineno - part.lineno + 1
    behind, within = [*lines[:start], *lines[end:]], "\n".join(lines[start:end])
    return not reach.says_norm("\n".join(behind)) and reach.says_layer_norms_only(within)
