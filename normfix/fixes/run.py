"""Fixes the files of a lint run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from normfix import files
from normfix.errors import Refused
from normfix.findings import Failure, Finding, Report
from normfix.fixes.document import document
from normfix.fixes.edits import unified
from normfix.fixes.rounds import UNSAFE, Left, Lint, allowed, fix
from normfix.fixes.verify import Broken


@dataclass(frozen=True, slots=True)
class FixedFile:
    """One file before and after; `error` says why it is as it was."""

    path: str
    old: str = ""
    new: str = ""
    report: Report = field(default_factory=Report)
    applied: Sequence[Finding] = ()
    left: Sequence[Left] = ()
    error: str | None = None
    links: int = 0
    """Other hard links, which keep the old text."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `apply` did, or would do."""

    files: Sequence[FixedFile]
    report: Report
    """The findings and errors of the run as they are now."""
    written: bool
    unsafe: bool = False
    """Were unsafe fixes asked for."""

    @property
    def changed(self) -> bool:
        """Was a file changed, or would one be."""
        return any(file.applied for file in self.files)

    @property
    def failed(self) -> bool:
        """Did a file have to be left as it was."""
        return any(file.error is not None for file in self.files)

    def diff(self) -> str:
        """The changes as a unified diff."""
        return "".join(unified(file.old, file.new, file.path) for file in self.files)

    def summary(self) -> list[str]:
        """What was fixed, what was left and why, in lines."""
        return [*self._fixed(), *self._linked(), *self._left(), *_migration(self.files)]

    def _fixed(self) -> Iterator[str]:
        changed = [file for file in self.files if file.applied]
        total = sum(len(file.applied) for file in changed)
        if not total:
            return
        verb = "Fixed" if self.written else "Would fix"
        yield f"{verb} {_count(total, 'finding')} in {_count(len(changed), 'file')}:"
        for file in changed:
            codes = Counter(finding.code for finding in file.applied)
            yield f"  {file.path}: " + ", ".join(f"{code} x {count}" for code, count in sorted(codes.items()))

    def _linked(self) -> Iterator[str]:
        for file in self.files:
            if file.links and self.written:
                yield f"{file.path} had {_count(file.links, 'other hard link')}: the old text is still there"

    def _left(self) -> Iterator[str]:
        left = [one for file in self.files for one in file.left if one[1] != UNSAFE]
        if left:
            yield f"Left {_count(len(left), 'finding')} with a fix as it was:"
        for finding, reason in left:
            yield f"  {finding.path}:{finding.line}:{finding.column}: {finding.code} {reason}"
        if self.unsafe:
            return
        unsafe = sum(allowed(finding, True) and not allowed(finding, False) for finding in self.report.findings)
        refused = sum(allowed(finding, True) and not allowed(finding, False) for finding, _ in left)
        if unsafe > refused:
            yield f"{_count(unsafe - refused, 'more finding')} can be fixed with `--unsafe-fixes`"


def apply(report: Report, lint: Lint, *, unsafe: bool = False, write: bool = True) -> Outcome:
    """Fix the files in which the run found something that can be fixed; with `write=False` only say how.

    Each file is written when all its fixes have passed their checks, or left as it was, with an error.
    """
    paths = dict.fromkeys(
        finding.path for finding in report.findings if allowed(finding, unsafe) and finding.path not in report.sources
    )
    fixed = [_fixed_file(path, lint, unsafe, write) for path in paths]
    done = {file.path: file for file in fixed if file.applied}
    findings = [finding for finding in report.findings if finding.path not in done]
    findings += [finding for file in done.values() for finding in file.report.findings]
    findings.sort(key=lambda one: (one.path, one.cell or 0, one.line or 0, one.column or 0, one.code))
    errors = [Failure(file.path, file.error) for file in fixed if file.error is not None]
    return Outcome(fixed, replace(report, findings=findings, errors=[*report.errors, *errors]), write, unsafe)


def _fixed_file(path: str, lint: Lint, unsafe: bool, write: bool) -> FixedFile:
    try:
        snapshot = files.read(path)
        start = document(path, snapshot.data)
        done = fix(start, path, lint, unsafe=unsafe)
        links = files.links(path) if done.applied else 0
        if write and done.applied:
            files.rewrite(snapshot, done.document.data)
    except (Refused, Broken) as error:
        return FixedFile(path, error=f"not fixed: {error.reason}")
    except OSError as error:
        return FixedFile(path, error=f"not fixed: {error.strerror or error}")
    return FixedFile(path, start.text, done.text, done.report, done.applied, done.left, links=links)


def _migration(fixed: Sequence[FixedFile]) -> Iterator[str]:
    paths = [file.path for file in fixed if any(finding.code == "NF301" for finding in file.applied)]
    if paths:
        file = paths[0] if len(paths) == 1 and paths[0].endswith(".py") else "FILE"
        yield (
            "Checkpoints saved before hold the biases that are gone: "
            f"`normfix migrate CHECKPOINT --like {file}:MODEL -o NEW` carries them over"
        )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
