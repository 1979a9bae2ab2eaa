"""One source, from its text to its report: read, build the graphs, run the checks."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence

from normfix import engine, sources
from normfix.engine import UNREADABLE_FILE, UNUSED_SUPPRESSION, Facts
from normfix.findings import Failure, Finding, Report
from normfix.graph import Layer, LayerGraph, Undecided
from normfix.linting.prefilter import may_misuse, names_suppressed
from normfix.readers import scripts
from normfix.readers.siblings import Siblings
from normfix.records import dataclass, field
from normfix.script import Script

TYPE_CHECKING = False
if TYPE_CHECKING:
    from normfix.linting.cache import Cache


@dataclass(frozen=True)
class Plan:
    """What is looked for in a source."""

    codes: Collection[str]
    options: Mapping[str, object] = field(default_factory=dict)
    """Settings of single rules, by slug."""
    named: bool = False
    """Was this very source asked for, so that it is parsed although it cannot hold a misuse: to tell syntax errors."""
    undecided: bool = True
    """Is it asked as well what is not decided, and of how many norms it is known what feeds them."""


def examine_file(path: str, plan: Plan, siblings: Siblings, cache: Cache | None = None) -> Report:
    """The report of one file, whatever happens: an error of normfix itself costs this file only."""
    try:
        data = sources.read_bytes(path)
    except OSError as error:
        return _unreadable(path, f"cannot be opened: {error.strerror or error}", plan)
    if cache is None:
        return _examine_bytes(data, path, plan, siblings)
    key = cache.key(path, data, plan)
    report = cache.load(key)
    if report is None:
        report = _examine_bytes(data, path, plan, siblings)
        if not report.errors:
            cache.save(key, report, siblings.used(path))
    return report


def kept(path: str, plan: Plan, cache: Cache) -> Report | None:
    """The report of one file if it is known already."""
    try:
        return cache.load(cache.key(path, sources.read_bytes(path), plan))
    except OSError:
        return None  # It is told of where the file is examined.


def _examine_bytes(data: bytes, path: str, plan: Plan, siblings: Siblings) -> Report:
    try:
        text = sources.decode(data, path)
    except ValueError as error:
        return _unreadable(path, f"cannot be decoded: {error}", plan)
    try:
        return examine_text(text, path, plan, siblings)
    except Exception as error:
        return Report(errors=[Failure(path, f"normfix failed on this file: {_describe(error)}")])


def examine_text(text: str, path: str, plan: Plan, siblings: Siblings | None = None) -> Report:
    """The report of one text. `siblings` finds what it imports from the files beside it."""
    from normfix.readers.source import graphs

    try:
        if not may_misuse(text, plan, path, siblings) and not path.endswith(".ipynb"):
            if plan.named:
                scripts.parse(text)
            return Report()
        script = _read(text, path)
    except SyntaxError as error:
        return _unreadable(path, f"cannot be parsed: {error.msg}", plan, error.lineno, error.offset)
    except ValueError as error:
        return _unreadable(path, f"cannot be parsed: {error}", plan)
    try:
        if siblings is not None:
            siblings.attach(script)
        # A suppression of a rule that is undecided is not useless.
        script.graphs = graphs(script, plan.undecided or names_suppressed(text))
        report = _run(script, plan)
        if plan.undecided:
            report.norms, report.decided = _count_norms(script.graphs)
        else:
            report.undecided.clear()
        return report
    finally:
        script.discard()


def _run(script: Script, plan: Plan) -> Report:
    """Run the checks, and leave out what the plan or a comment does not want to hear."""
    if not names_suppressed(script.text):
        return _without_blanket(script, _check(script, plan, plan.codes))
    from normfix.linting import suppressions

    comments = suppressions.find(script)
    report = _check(script, plan, {*plan.codes, *suppressions.named(comments)})
    kept, dropped = suppressions.split(report.findings, comments)
    useless = suppressions.unused(comments, dropped, report.undecided)
    kept += [engine.as_finding(UNUSED_SUPPRESSION, problem, script.path) for problem in useless]
    return Report(
        sorted((finding for finding in kept if finding.code in plan.codes), key=engine.position),
        [abstention for abstention in report.undecided if abstention.code in plan.codes],
    )


def _without_blanket(script: Script, report: Report) -> Report:
    """The report without what a bare `# noqa` hides."""
    if report.findings and "noqa" in script.text.lower():
        from normfix.linting import suppressions

        report.findings, _ = suppressions.split(report.findings, suppressions.find(script))
    return report


def _check(script: Script, plan: Plan, codes: Collection[str]) -> Report:
    checks = [check for check in engine.checks() if check.rule.code in codes]
    facts = Facts("source", script.path, script=script, options=plan.options)
    return engine.run(facts, checks, script.graphs)


def _read(text: str, path: str) -> Script:
    if path.endswith(".ipynb"):
        from normfix.readers import notebook

        return notebook.read(text, path)
    return scripts.read(text, path)


def _unreadable(path: str, message: str, plan: Plan, line: int | None = None, column: int | None = None) -> Report:
    rule = UNREADABLE_FILE
    if rule.code not in plan.codes:
        return Report()
    column = max(column or 1, 1) if line is not None else None
    return Report([Finding(rule.code, rule.slug, rule.severity, message, path, line, column)])


def _describe(error: Exception) -> str:
    """The type of an error, what it says, and the line that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})" if trace else ""
    return f"{type(error).__name__}: {error}{place}"


def _count_norms(graphs: Sequence[LayerGraph]) -> tuple[int, int]:
    """How many norm layers a source constructs, and of how many of them it is known what feeds them."""
    from normfix.norms import NORMS

    fed: dict[object, bool] = {}
    for graph in graphs:
        for layer in graph.layers:
            if layer.kind in NORMS:
                place = layer.site.origin or layer
                fed[place] = fed.get(place, False) or _is_fed(layer, graph)
    return len(fed), sum(fed.values())


def _is_fed(layer: Layer, graph: LayerGraph) -> bool:
    try:
        calls = graph.calls_of(layer)
        return bool(calls) and all(call.producer() for call in calls)
    except Undecided:
        return False
