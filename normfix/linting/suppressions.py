"""`# noqa: NF301` on the line of a finding, `# normfix: noqa` for a whole file, and those that suppress nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from normfix.engine import UNUSED_SUPPRESSION, Rule, rules
from normfix.findings import Abstention, Finding, Problem, ReplaceComment, Safety
from normfix.graph import Site
from normfix.records import dataclass
from normfix.script import Script
from normfix.selection import reach

_WORD = r"(?:[a-z]+[0-9]+|[a-z]+(?:-[a-z]+)+)\b"
_DIRECTIVE = re.compile(
    rf"#\s*(?P<file>normfix\s*:\s*)?noqa(?P<listed>\s*:\s*(?P<words>{_WORD}(?:[\s,]+{_WORD})*)?)?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Suppression:
    """One comment. Without words it suppresses every rule."""

    site: Site
    words: Sequence[str]
    """Codes, beginnings of codes and slugs, as written; those of other linters too."""
    whole_file: bool
    rest: str
    """What the comment says after it."""

    def covers(self, finding: Finding) -> bool:
        """Does this comment suppress the finding."""
        return self.spans(finding) and (not self.words or any(_names(word, finding) for word in self.words))

    def spans(self, finding: Finding) -> bool:
        """Is the comment on the first or the last line of the finding, or for the whole file."""
        origin = self.site.origin
        if self.whole_file or origin is None:
            return self.whole_file
        return finding.cell == origin.cell and origin.line in (finding.line, finding.end_line)

    @property
    def own(self) -> list[str]:
        """The words that mean rules of normfix."""
        return [word for word in self.words if word.upper().startswith("NF") or _rules(word)]


def find(script: Script) -> list[Suppression]:
    """Every suppression in the comments of a source."""
    return [one for line, before, comment in _comments(script.text) for one in _read(script, line, before, comment)]


def named(suppressions: Iterable[Suppression]) -> set[str]:
    """The codes of the rules that are named: whether they fire tells whether a comment is of use."""
    return {rule.code for one in suppressions for word in one.own for rule in _rules(word)}


def split(
    findings: Iterable[Finding], suppressions: Sequence[Suppression]
) -> tuple[list[Finding], list[tuple[Suppression, Finding]]]:
    """The findings that stay, and the others with what suppresses them."""
    kept, dropped = [], []
    for finding in findings:
        matches = [one for one in suppressions if one.covers(finding)]
        dropped += [(one, finding) for one in matches]
        if not matches:
            kept.append(finding)
    return kept, dropped


def unused(
    suppressions: Iterable[Suppression],
    dropped: Collection[tuple[Suppression, Finding]],
    undecided: Iterable[Abstention],
) -> Iterator[Problem]:
    """What names a rule that source decides, and that did not fire there."""
    doubts = {(one.code, one.where.rpartition(":")[2]) for one in undecided}
    for suppression in suppressions:
        fired = [finding for one, finding in dropped if one is suppression]
        useless = [word for word in suppression.own if _useless(word, suppression, fired, doubts)]
        if useless and not any(UNUSED_SUPPRESSION.code.startswith(word.upper()) for word in suppression.words):
            yield _problem(suppression, useless)


def _useless(
    word: str, suppression: Suppression, fired: Iterable[Finding], doubts: Collection[tuple[str, str]]
) -> bool:
    meant = _rules(word)
    origin = suppression.site.origin
    lines = {line for _, line in doubts} if suppression.whole_file else {str(origin.line) if origin else ""}
    if any(_names(word, finding) for finding in fired):
        return False
    return all("source" in rule.readers and not any((rule.code, line) in doubts for line in lines) for rule in meant)


def _problem(suppression: Suppression, useless: Collection[str]) -> Problem:
    kept = [word for word in suppression.words if word not in useless]
    tool = "normfix: noqa" if suppression.whole_file else "noqa"
    text = f"# {tool}: {', '.join(kept)}" if kept else ("#" if suppression.rest.strip() else "")
    names = " and ".join(f"`{word}`" for word in useless)
    return Problem(
        suppression.site,
        f"the suppression of {names} has no effect, as nothing is found there",
        help="Remove it",
        remedy=ReplaceComment(suppression.site, text),
        safety=Safety.SAFE,
    )


def _names(word: str, finding: Finding) -> bool:
    return finding.code.startswith(word.upper()) or word.lower() == finding.slug


def _rules(word: str) -> list[Rule]:
    return [rule for rule in rules().values() if reach(rule, (word.upper(), word.lower()))]


def _read(script: Script, line: int, before: str, comment: str) -> Iterator[Suppression]:
    for match in _DIRECTIVE.finditer(comment):
        words = re.split(r"[\s,]+", match["words"]) if match["words"] else []
        if match["listed"] and not words:
            continue  # a list of something else
        start, end = (len((before + comment[:end]).encode()) for end in match.span())
        node = ast.Constant(None, lineno=line, end_lineno=line, col_offset=start, end_col_offset=end)
        yield Suppression(script.site(node), words, bool(match["file"]), comment[match.end() :])


def _comments(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, what stands before it, and the text of each comment that may suppress something."""
    from io import StringIO
    from tokenize import COMMENT, generate_tokens

    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = plain.split("\n")
    for token in generate_tokens(StringIO(plain).readline):
        if token.type == COMMENT and "noqa" in token.string.lower():
            line, column = token.start
            yield line, lines[line - 1][:column], token.string
