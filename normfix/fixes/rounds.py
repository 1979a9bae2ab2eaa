"""Fixes one document: round after round until nothing is left to fix, each round checked before it counts."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from normfix.errors import Refused
from normfix.findings import Finding, InsertStatement, RemoveStatement, Report, Safety, Together
from normfix.fixes.document import Document, Unit, document
from normfix.fixes.edits import Edit, Fix
from normfix.fixes.remedies import fix_for, in_source
from normfix.fixes.source import Source, origin_of
from normfix.fixes.verify import Broken, check_tree
from normfix.sources import declared_encoding

Lint = Callable[[str, str], Report]
"""Text and path to report: `lint_source` with the settings of the run."""
Left = tuple[Finding, str]
ROUNDS = 200
UNSAFE = "the fix may change what the code does: `--unsafe-fixes` makes it"


@dataclass(frozen=True, slots=True)
class Fixed:
    """A document after its fixes."""

    document: Document
    report: Report
    """What the linter says of it now."""
    applied: Sequence[Finding]
    left: Sequence[Left]
    """Findings with a fix that was not made, and why."""

    @property
    def text(self) -> str:
        return self.document.text


@dataclass(slots=True)
class _Round:
    fixes: list[tuple[Unit, Fix]] = field(default_factory=list)
    spans: dict[Unit, list[tuple[int, int]]] = field(default_factory=dict)
    """What the fixes touch, in order."""
    findings: list[Finding] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    full: bool = False

    def claim(self, unit: Unit, start: int, end: int) -> bool:
        """Take the span for one fix; False where another one touches it already."""
        taken = self.spans.setdefault(unit, [])
        index = bisect_left(taken, (start, end))
        if any(start <= last and first <= end for first, last in taken[max(index - 1, 0) : index + 1]):
            return False
        taken.insert(index, (start, end))
        return True


def fix_text(text: str, path: str, lint: Lint, *, unsafe: bool = False) -> Fixed:
    """Fix a text as an editor holds it. Raises `Refused` and `Broken` as `fix` does."""
    encoding = "utf-8" if path.endswith(".ipynb") else declared_encoding(text.encode(errors="surrogatepass"))
    try:
        data = text.encode(encoding)
    except UnicodeError as error:
        raise Refused(f"the text cannot be written in {encoding}, as it says: {error}") from error
    return fix(document(path, data), path, lint, unsafe=unsafe)


def fix(start: Document, path: str, lint: Lint, *, unsafe: bool = False) -> Fixed:
    """Make the safe fixes, and with `unsafe` those too.

    Raises `Refused` for a document that cannot be read, `Broken` for a fix that failed its checks: the document is to
    be left as it was.
    """
    now, report = start, lint(start.text, path)
    applied: list[Finding] = []
    seen = {start.data}
    for _ in range(ROUNDS):
        parsed = _parsed(now, report.findings, unsafe)
        batch = _batch(parsed, report.findings, path, unsafe)
        if not batch.findings:
            return Fixed(now, report, applied, batch.left)
        now = _carried_out(now, parsed, batch)
        before, report = report, lint(now.text, path)
        _check_gone(batch.findings, before, report)
        applied += batch.findings
        if now.data in seen:
            raise Broken("the fixes undo one another")
        seen.add(now.data)
    raise Broken(f"the fixes do not come to an end in {ROUNDS} rounds")


def allowed(finding: Finding, unsafe: bool) -> bool:
    """Has the finding a fix in source that may be made."""
    return in_source(finding.remedy) and finding.safety in (Safety.SAFE, *([Safety.UNSAFE] if unsafe else []))


def _parsed(now: Document, findings: Iterable[Finding], unsafe: bool) -> dict[Unit, Source]:
    """The texts that hold something to fix: one bad cell does not spoil a notebook."""
    cells = {finding.cell for finding in findings if allowed(finding, unsafe)}
    return {unit: Source(text) for unit, text in now.units.items() if unit in cells}


def _batch(parsed: Mapping[Unit, Source], findings: Sequence[Finding], path: str, unsafe: bool) -> _Round:
    """As many fixes as do not touch one another; the others wait for the next round."""
    batch = _Round()
    for finding in findings:
        if not in_source(finding.remedy) or finding.safety is Safety.DISPLAY:
            continue
        if not allowed(finding, unsafe):
            batch.left.append((finding, UNSAFE))
            continue
        try:
            _take(batch, parsed, finding, path)
        except Refused as refused:
            batch.left.append((finding, refused.reason))
    return batch


def _take(batch: _Round, parsed: Mapping[Unit, Source], finding: Finding, path: str) -> None:
    remedy = finding.remedy
    assert remedy is not None
    origin = origin_of(remedy.site)
    if origin.path != path or origin.cell not in parsed:
        whole = origin.path == path and origin.cell is not None
        raise Refused("its cell is indented as a whole" if whole else f"it would be fixed in {origin.path}")
    if batch.full or (batch.findings and _of_statements(finding)):
        return
    source = parsed[origin.cell]
    made = fix_for(source, remedy)
    site = source.range(remedy.site)
    if batch.claim(origin.cell, min(site[0], made.span[0]), max(site[1], made.span[1])):
        batch.fixes.append((origin.cell, made))
        batch.findings.append(finding)
        batch.full = _of_statements(finding)


def _of_statements(finding: Finding) -> bool:
    """Such a fix has a round to itself: one `model.eval()` may settle several findings."""
    return isinstance(finding.remedy, (InsertStatement, RemoveStatement, Together))


def _carried_out(old: Document, parsed: Mapping[Unit, Source], batch: _Round) -> Document:
    edits: dict[Unit, list[Edit]] = {}
    for unit, made in batch.fixes:
        edits.setdefault(unit, []).extend(made.edits)
    try:
        new = old.edited(edits)
    except Refused as refused:
        raise Broken(refused.reason) from refused
    for _, made in batch.fixes:
        made.intend()
    for unit, text in new.units.items():
        if unit in edits:
            check_tree(parsed[unit].tree, text)
        elif text != old.units[unit]:
            raise Broken(f"the fix would change cell {unit} as well")
    return new


def _check_gone(fixed: Iterable[Finding], before: Report, after: Report) -> None:
    was, now = Counter(map(_key, before.findings)), Counter(map(_key, after.findings))
    for key, count in Counter(map(_key, fixed)).items():
        if now[key] > was[key] - count:
            raise Broken(f"{key[0]} is still found after its fix: {key[2]}")


def _key(finding: Finding) -> tuple[str, str, str]:
    return finding.code, str(finding.severity), finding.message
