"""Which remedy is carried out how."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from normfix import findings
from normfix.errors import Refused
from normfix.fixes import comments, expressions, statements
from normfix.fixes.edits import Fix
from normfix.fixes.source import Source


def fix_for(source: Source, remedy: findings.Remedy) -> Fix:
    """The edits that carry out this remedy. Raises `Refused` where it cannot be done here."""
    if isinstance(remedy, findings.Together):
        return _together([fix_for(source, part) for part in remedy.parts])
    return _carriers()[type(remedy)](source, remedy)


def in_source(remedy: findings.Remedy | None) -> bool:
    """Is this a remedy for source text; the others are for live models."""
    return remedy is not None and not isinstance(remedy, findings.Transform)


def _carriers() -> dict[type, Callable[[Source, Any], Fix]]:
    return {
        findings.SetArgument: _with_libcst("set_argument"),
        findings.NameArgument: _with_libcst("name_argument"),
        findings.RemoveArgument: _with_libcst("remove_argument"),
        findings.CompleteCall: expressions.complete_call,
        findings.ReplaceExpression: expressions.replace_expression,
        findings.WrapExpression: expressions.wrap_expression,
        findings.ReplaceCallee: expressions.replace_callee,
        findings.TransposeAround: expressions.transpose_around,
        findings.InsertStatement: statements.insert_statement,
        findings.RemoveStatement: statements.remove_statement,
        findings.AddParameter: statements.add_parameter,
        findings.ReplaceComment: comments.replace_comment,
    }


def _with_libcst(name: str) -> Callable[[Source, Any], Fix]:
    """libcst takes a quarter of a second to import: only for the files that need it."""

    def carrier(source: Source, remedy: findings.Remedy) -> Fix:
        from normfix.fixes import arguments

        carry: Callable[[Source, findings.Remedy], Fix] = getattr(arguments, name)
        return carry(source, remedy)

    return carrier


def _together(parts: list[Fix]) -> Fix:
    edits = sorted(edit for part in parts for edit in part.edits)
    if any(later.start < earlier.end for earlier, later in pairwise(edits)):
        raise Refused("its edits overlap")

    def intend() -> None:
        for part in parts:
            part.intend()

    return Fix(edits, intend)
