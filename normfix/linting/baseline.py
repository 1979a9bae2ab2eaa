"""Findings of old that are not to be heard of again, so that a repository can adopt the linter as it is.

An entry names the rule, the path, the hash of the statement as `ast.unparse` writes it, and how many findings there
are: no line numbers, so that code may move and be formatted anew.
"""

from __future__ import annotations

import ast
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import sha256

from normfix.errors import UsageError
from normfix.findings import Finding, Report
from normfix.records import dataclass
from normfix.reports.code import Code

VERSION = 1


@dataclass(frozen=True)
class Entry:
    """What a finding is known by."""

    rule: str
    path: str
    """Relative to the folder of the baseline, with slashes."""
    statement: str


class Baseline:
    """The entries of one file, each with how often it was found."""

    def __init__(self, file: str, entries: Mapping[Entry, int]) -> None:
        self.file = file
        self.entries = Counter(entries)

    @classmethod
    def of(cls, file: str, report: Report) -> Baseline:
        """A new baseline that holds every finding of a report."""
        empty = cls(file, {})
        entries = empty._known_as(report)
        return cls(file, Counter(entry for entry in entries if entry is not None))

    @classmethod
    def read(cls, file: str) -> Baseline:
        """The baseline in a file. Raises UsageError where it cannot be read."""
        try:
            with open(file, encoding="utf-8") as stream:
                plain = json.load(stream)
            entries = {Entry(one["rule"], one["path"], one["statement"]): int(one["count"]) for one in plain["entries"]}
        except OSError as error:
            raise UsageError(f"cannot read the baseline `{file}`: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(f"cannot read the baseline `{file}`: it is damaged ({error})") from error
        except (LookupError, TypeError) as error:
            raise UsageError(f"cannot read the baseline `{file}`: `normfix baseline write` did not make it") from error
        return cls(file, entries)

    def write(self) -> None:
        """Replace the file, in one step. Raises UsageError where that is not possible."""
        from normfix.files import put

        entries = [
            {"rule": entry.rule, "path": entry.path, "statement": entry.statement, "count": count}
            for entry, count in sorted(
                self.entries.items(), key=lambda item: (item[0].path, item[0].rule, item[0].statement)
            )
        ]
        put(self.file, (json.dumps({"version": VERSION, "entries": entries}, indent=1) + "\n").encode())

    def apply(self, report: Report) -> Counter[Entry]:
        """Take the known findings out of the report, as many of each as are known; return the entries left over."""
        left = Counter(self.entries)
        kept = []
        for finding, entry in zip(report.findings, self._known_as(report), strict=True):
            if entry is not None and left[entry] > 0:
                left[entry] -= 1
            else:
                kept.append(finding)
        report.findings = kept
        return +left

    def shrink(self, left: Counter[Entry], looked_at: Iterable[str], rules: Callable[[str], Collection[str]]) -> int:
        """Drop the entries that were looked for and not found; return how many they were."""
        paths = {self._relative(path): path for path in looked_at}
        stale = Counter({one: count for one, count in left.items() if self._was_looked_for(one, paths, rules)})
        self.entries -= stale
        return stale.total()

    def _was_looked_for(self, entry: Entry, paths: Mapping[str, str], rules: Callable[[str], Collection[str]]) -> bool:
        if entry.path in paths:
            return entry.rule in rules(paths[entry.path])
        return not os.path.exists(os.path.join(os.path.dirname(os.path.abspath(self.file)), entry.path))

    def _known_as(self, report: Report) -> list[Entry | None]:
        """The entry of each finding; None for one without a place in source."""
        statements = _Statements(Code(report.sources))
        return [
            None if one.line is None else Entry(one.code, self._relative(one.path), statements.hash(one))
            for one in report.findings
        ]

    def _relative(self, path: str) -> str:
        return os.path.relpath(path, os.path.dirname(os.path.abspath(self.file))).replace(os.sep, "/")


class _Statements:
    """The statements of the files of a report, each file parsed once."""

    def __init__(self, code: Code) -> None:
        self._code = code
        self._found: dict[tuple[str, int | None], list[ast.stmt]] = {}

    def hash(self, finding: Finding) -> str:
        line = finding.line or 1
        key = (finding.path, finding.cell)
        if key not in self._found:
            self._found[key] = _statements("\n".join(self._code.lines(*key)))
        around = [one for one in self._found[key] if one.lineno <= line <= (one.end_lineno or one.lineno)]
        text = _header(around[-1]) if around else finding.message
        return sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _statements(text: str) -> list[ast.stmt]:
    """Every statement, outer ones first; none where the text does not parse (a cell with magics, a broken file)."""
    try:
        waiting: list[ast.AST] = [ast.parse(text)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found: list[ast.stmt] = []
    for node in waiting:
        found += [node] if isinstance(node, ast.stmt) else []
        waiting += [one for one in ast.iter_child_nodes(node) if not isinstance(one, ast.expr)]
    return found


def _header(statement: ast.stmt) -> str:
    """The statement, without the statements that it holds."""
    fields = dict(ast.iter_fields(statement))
    for name, value in fields.items():
        if name in ("body", "orelse", "finalbody", "handlers", "cases"):
            fields[name] = [ast.Pass()] if name == "body" and isinstance(value, list) else []
    try:
        return ast.unparse(ast.fix_missing_locations(type(statement)(**fields)))
    except RecursionError:
        return type(statement).__name__
