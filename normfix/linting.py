"""Source lint: the paths of a run -> its report. Nothing that is linted is imported or executed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from normfix import discovery
from normfix.engine import UNREADABLE_FILE
from normfix.errors import UsageError
from normfix.examine import Plan, examine_file, examine_text
from normfix.findings import Failure, Report
from normfix.readers.siblings import Siblings
from normfix.selection import codes


def lint(
    paths: Iterable[str],
    *,
    select: Sequence[str] | None = None,
    extend_select: Iterable[str] = (),
    ignore: Iterable[str] = (),
) -> Report:
    """Lint files and directories. `select` and its kin take codes, beginnings of codes, and slugs.

    A file that cannot be read is a finding of that file (NF902); when no file can be read, there is an error too.
    Raises UsageError for a path that does not exist, a directory without Python files, and an unknown rule.
    """
    if isinstance(paths, str):
        raise UsageError(f"cannot lint `{paths}`: `paths` is a list, as in `lint([{paths!r}])`")
    plan = Plan(codes(select, extend_select, ignore))
    report = Report()
    files = discovery.find(paths)
    siblings = Siblings()
    for file in files:
        report.extend(examine_file(file, plan, siblings))
    return _judge(report, len(files))


def lint_source(
    text: str,
    path: str = "<text>",
    *,
    select: Sequence[str] | None = None,
    extend_select: Iterable[str] = (),
    ignore: Iterable[str] = (),
) -> Report:
    """Lint one text, as an editor holds it. `path` names it in the report; `.ipynb` makes it a notebook."""
    siblings = None if path.startswith("<") else Siblings()
    report = examine_text(text, path, Plan(codes(select, extend_select, ignore)), siblings)
    report.sources[path] = text
    return report


def _judge(report: Report, files: int) -> Report:
    """One unreadable file among others is its own finding; a run that could read nothing could not run."""
    unread = [finding for finding in report.findings if finding.code == UNREADABLE_FILE.code]
    if files and len(unread) == files:
        report.errors += [Failure(finding.path, finding.message) for finding in unread]
    return report
