"""Source lint: paths -> text -> facts -> findings. Nothing that is linted is imported or executed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from normfix import discovery, engine, sources
from normfix.engine import UNREADABLE_FILE, Check, Facts
from normfix.errors import UsageError
from normfix.findings import Failure, Finding, Report
from normfix.script import Script
from normfix.selection import selected


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
    checks = selected(select, extend_select, ignore)
    report = Report()
    files = discovery.find(paths)
    for file in files:
        report.extend(lint_file(file, checks))
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
    report = lint_text(text, path, selected(select, extend_select, ignore))
    report.sources[path] = text
    return _judge(report, 1)


def lint_file(path: str, checks: Iterable[Check]) -> Report:
    """The report of one file."""
    try:
        text = sources.read_text(path)
    except OSError as error:
        return _unreadable(path, f"cannot be opened: {error.strerror or error}")
    except ValueError as error:
        return _unreadable(path, f"cannot be decoded: {error}")
    return lint_text(text, path, checks)


def lint_text(text: str, path: str, checks: Iterable[Check]) -> Report:
    """The report of one text."""
    from normfix.readers.source import graphs

    try:
        script = _script(text, path)
    except SyntaxError as error:
        return _unreadable(path, f"cannot be parsed: {error.msg}", error.lineno, error.offset)
    except ValueError as error:
        return _unreadable(path, f"cannot be parsed: {error}")
    script.graphs = graphs(script)
    return engine.run(Facts("source", path, script=script), checks, script.graphs)


def _script(text: str, path: str) -> Script:
    if path.endswith(".ipynb"):
        from normfix.readers import notebook

        return notebook.read(text, path)
    from normfix.readers import scripts

    return scripts.read(text, path)


def _unreadable(path: str, message: str, line: int | None = None, column: int | None = None) -> Report:
    rule = UNREADABLE_FILE
    column = max(column or 1, 1) if line is not None else None
    return Report([Finding(rule.code, rule.slug, rule.severity, message, path, line, column)])


def _judge(report: Report, files: int) -> Report:
    """One unreadable file among others is its own finding; a run that could read nothing could not run."""
    unread = [finding for finding in report.findings if finding.code == UNREADABLE_FILE.code]
    if files and len(unread) == files:
        report.errors += [Failure(finding.path, finding.message) for finding in unread]
    return report
