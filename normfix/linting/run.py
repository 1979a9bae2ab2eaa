"""Source lint: the paths of a run -> its report. Nothing that is linted is imported or executed."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache, partial

from normfix.config import Settings
from normfix.engine import UNREADABLE_FILE
from normfix.errors import UsageError
from normfix.findings import Failure, Report
from normfix.linting import discovery
from normfix.linting.examine import Plan, examine_file, examine_text, kept
from normfix.linting.jobs import MANY, at_once, in_turn
from normfix.linting.jobs import available as processors
from normfix.linting.planning import Planner, Words, settings_source
from normfix.readers.siblings import Siblings


def lint(
    paths: Iterable[str | os.PathLike[str]],
    *,
    select: Sequence[str] | None = None,
    extend_select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    config: str | None = None,
    exclude: Sequence[str] = (),
    force_exclude: bool = False,
    baseline: str | None = None,
    jobs: int | None = None,
    cache: bool = True,
    undecided: bool = True,
) -> Report:
    """Lint files and directories. `select` and its kin take codes, beginnings of codes, and slugs.

    `config` is a TOML file to read in place of the nearest pyproject.toml; `exclude` are patterns of files and folders
    to leave out, even files that `paths` names where `force_exclude` is set. `baseline` is a file that
    `normfix baseline write` made: what it holds is not reported, and what is gone is dropped from it (None: the one of
    the configuration; an empty text: none). Many files are linted by `jobs` processes (None: one for each processor),
    and their reports kept in a cache. Without `undecided` the report tells findings only: neither what was not decided,
    nor of how many norms it is known what feeds them. That takes less time, as much of the code cannot hold a finding
    and is not followed to its end.

    A file that cannot be read is a finding of that file (NF902); when no file can be read, there is an error too.
    Raises UsageError for a path that does not exist, a directory without Python files, an unknown rule, and a
    configuration with unknown keys.
    """
    if isinstance(paths, (str, os.PathLike)):
        raise UsageError(f"cannot lint `{paths}`: `paths` is a list, as in `lint([{paths!r}])`")
    named = [os.fspath(path) for path in paths]
    if jobs is not None and jobs < 1:
        raise UsageError(f"cannot lint with `{jobs}` processes: expected at least 1")
    settings_of = settings_source(config)
    plan_of = Planner(Words.of(select, extend_select, ignore), settings_of, named, undecided)
    files = discovery.find(named, exclude, settings_of, force_exclude)
    reports = _examined(files, plan_of, processors() if jobs is None else jobs, cache)
    report = Report()
    for file in files:
        report.extend(reports[file])
    judge(report, len(files))
    known = baseline_of(config) if baseline is None else baseline
    if known:
        _leave_out(known, report, files, plan_of)
    return report


def lint_source(
    text: str,
    path: str = "<text>",
    *,
    select: Sequence[str] | None = None,
    extend_select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    config: str | None = None,
) -> Report:
    """Lint one text, as an editor holds it. `path` names it in the report; `.ipynb` makes it a notebook.

    The configuration nearest to `path` holds, and imports are followed from there.
    """
    words = Words.of(select, extend_select, ignore)
    nowhere = path.startswith("<")
    settings_of = (lambda _: Settings()) if nowhere and config is None else settings_source(config)
    plan = Planner(words, settings_of, (path,))(path)
    report = examine_text(text, path, plan, None if nowhere else Siblings())
    report.sources[path] = text
    return report


def _examined(files: Sequence[str], plan_of: Callable[[str], Plan], jobs: int, cache: bool) -> dict[str, Report]:
    """The report of each file; processes and the cache are for many files."""
    many = len(files) >= MANY
    reports = _kept(files, plan_of) if cache and many else {}
    left = [file for file in files if file not in reports]
    make_work = partial(_work, plan_of, cache and many)
    if left:
        reports.update(at_once(left, make_work, jobs) if jobs > 1 and many else in_turn(left, make_work()))
    return reports


def _kept(files: Iterable[str], plan_of: Callable[[str], Plan]) -> dict[str, Report]:
    """The reports that are known already: looking one up takes less time than sending it from another process."""
    from normfix.linting.cache import Cache, folder, prune

    cache = Cache(folder())
    prune(folder())
    found: dict[str, Report] = {}
    for count, file in enumerate(files):
        if count == MANY and not found:
            break  # A cache that knows nothing of this run: each process looks up what it examines anyhow.
        report = kept(file, plan_of(file), cache)
        if report is not None:
            found[file] = report
    return found


def _work(plan_of: Callable[[str], Plan], cached: bool) -> Callable[[str], Report]:
    """What is done to each file; made once in every process."""
    siblings = Siblings()
    if not cached:
        return lambda path: examine_file(path, plan_of(path), siblings)
    from normfix.linting.cache import Cache, folder

    cache = Cache(folder())
    return lambda path: examine_file(path, plan_of(path), siblings, cache)


def baseline_of(config: str | None) -> str | None:
    """The baseline that the configuration of the working folder names. Raises UsageError."""
    settings = settings_source(config)("pyproject.toml")
    return None if settings.baseline is None else os.path.join(settings.root, settings.baseline)


def _leave_out(file: str, report: Report, files: Iterable[str], plan_of: Callable[[str], Plan]) -> None:
    from normfix.linting.baseline import Baseline

    known = Baseline.read(file)
    failed = {failure.path for failure in report.errors}

    @lru_cache(maxsize=64)
    def looked_for(path: str) -> Collection[str]:
        """The rules of a file; none where it cannot be read, whether or not that was asked for."""
        unreadable = path in failed or examine_file(path, Plan({UNREADABLE_FILE.code}, named=True), Siblings()).findings
        return () if unreadable else plan_of(path).codes

    gone = known.shrink(known.apply(report), files, looked_for)
    if not gone:
        return
    what = "finding is gone, and was" if gone == 1 else "findings are gone, and were"
    try:
        known.write()
        report.notes.append(f"{gone} {what} dropped from `{file}`")
    except UsageError as error:  # a checkout that is read-only is linted all the same
        report.notes.append(f"{gone} {what} not dropped from `{file}`: {error}")


def judge(report: Report, files: int) -> Report:
    """One unreadable file among others is its own finding; a run that could read nothing could not run."""
    unread = [finding for finding in report.findings if finding.code == UNREADABLE_FILE.code]
    if files and len(unread) == files:
        report.errors += [Failure(finding.path, finding.message) for finding in unread]
    return report
