"""Edits of comments. The tree stays as it is."""

from __future__ import annotations

import io
import re
import tokenize

from normfix.errors import Refused
from normfix.findings import ReplaceComment
from normfix.fixes.edits import Edit, Fix
from normfix.fixes.source import Source

_BLANKS_BEFORE = re.compile(r"[ \t\f]*\Z")


def replace_comment(source: Source, remedy: ReplaceComment) -> Fix:
    """Other text for a comment, or for the part of one; an empty one goes with the blanks, or the line, before it."""
    start, end = source.range(remedy.site)
    if not any(first <= start and end <= last for first, last in _comments(source)):
        raise Refused("no comment stands there")
    if remedy.text:
        return Fix((Edit(start, end, remedy.text),), lambda: None)
    line, following = source.line_around(start)
    blanks = _BLANKS_BEFORE.search(source.text, line, start)
    assert blanks is not None
    if blanks.start() == line and not source.text[end:following].strip():
        return Fix((Edit(line, following, ""),), lambda: None)
    return Fix((Edit(blanks.start(), end, ""),), lambda: None)


def _comments(source: Source) -> list[tuple[int, int]]:
    # tokenize splits lines at "\n" only, as ast does after translating the others.
    plain = source.text.replace("\r\n", "\n").replace("\r", "\n")
    found = []
    for token in tokenize.generate_tokens(io.StringIO(plain).readline):
        if token.type == tokenize.COMMENT:
            start = source.starts[token.start[0] - 1] + token.start[1]
            found.append((start, start + len(token.string)))
    return found
