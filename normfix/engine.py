"""Runs checks over facts: finds them in `normfix/checks`, subscribes each to its subjects, catches abstentions.

A check is a generator in a file of its own, decorated with what it looks at:

    RULE = Rule("NF403", "uncalled-mode", Severity.ERROR, readers=SOURCE)

    @on_node(RULE, ast.Expr)
    def uncalled_mode(node: ast.Expr, facts: Facts) -> Iterator[Problem]: ...
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib import import_module

from normfix.findings import Abstention, Finding, Problem, Report, Severity, place
from normfix.graph import Call, Layer, LayerGraph, Site, Undecided
from normfix.records import dataclass, field, replace
from normfix.script import Script
from normfix.vocabulary import PSEUDO_KINDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from typing import Any

    Subject = Any
    """A Layer, a Call, a LayerGraph, an ast node or a Script, as the check subscribed."""
    Generator = Callable[[Subject, "Facts"], Iterator[Problem | Undecided]]
    """Raises `Undecided` for its subject as a whole, or yields it for one site of several."""
    Words = str | re.Pattern[str] | tuple[re.Pattern[str], ...] | Callable[[str], bool]

SOURCE = frozenset({"source"})
LIVE = frozenset({"model"})
ARTEFACTS = frozenset({"onnx", "pt2", "state"})
EVERYWHERE = SOURCE | LIVE | ARTEFACTS


@dataclass(frozen=True, slots=True)
class Rule:
    """One misuse: its code, its name, how bad it is, and which readers can see it."""

    code: str
    slug: str
    """Names the bad pattern, so that it reads as "allow <slug>"."""
    severity: Severity
    readers: Collection[str]
    """Of "source", "model", "onnx", "pt2", "state"."""
    enabled: bool = True
    """Is it on without being asked for."""
    settings: Sequence[str] = ()
    """What a configuration may set under the slug; checks find it in `Facts.options`. The first is the default."""


UNUSED_SUPPRESSION = Rule("NF901", "unused-suppression", Severity.WARNING, readers=SOURCE)
UNREADABLE_FILE = Rule("NF902", "unreadable-file", Severity.ERROR, readers=EVERYWHERE)
TOOL_RULES = (UNUSED_SUPPRESSION, UNREADABLE_FILE)
"""Rules about the run itself: no check finds them."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a check may know beside its subject."""

    reader: str
    path: str = ""
    graph: LayerGraph = field(default_factory=lambda: LayerGraph(""))
    """The graph that the layer or call at hand belongs to."""
    script: Script | None = None
    """The parsed source; only for the reader "source"."""
    purpose: str | None = None
    """"training" or "inference", as the caller declared; None where nobody did."""
    batch_size: int | None = None
    """Per device, of the planned training run; None where it was not declared."""
    world_size: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    """Settings of single rules, by slug."""


@dataclass(frozen=True, slots=True)
class Check:
    """A generator with its rule and its subscription."""

    rule: Rule
    subject: str
    """"layer", "call", "graph", "node" or "script"."""
    kinds: Collection[object]
    """Layer kinds, or node types; empty for every one."""
    run: Generator
    words: Sequence[Words] = ()
    """What a source holds that holds the misuse: alternatives between bars, a pattern or several, or a question.

    Patterns are looked for fast that begin with plain letters: bars between patterns cost ten times what several do.
    """

    def may_find(self, text: str, options: Mapping[str, object], parsed: bool = False) -> bool:
        """Can this check find anything in a source, as far as its words tell: no parsing, so it has to be fast.

        A question about the text saves the parsing of a file; once that is done, it would cost more than the check.
        """
        if self.rule.settings and options.get(self.rule.slug, self.rule.settings[0]) != self.rule.settings[0]:
            return True  # The words are those of what is found by default.
        return all(_stand_in(text, words) for words in self.words if not parsed or not callable(words))


@lru_cache(maxsize=64)
def _stand_in(text: str, words: Words) -> bool:
    """Asked before a file is parsed, and again before the check runs."""
    if isinstance(words, str):
        return any(word in text for word in words.split("|"))
    if isinstance(words, tuple):
        return any(one.search(text) for one in words)
    return bool(words(text)) if callable(words) else words.search(text) is not None


def on_layer(rule: Rule, kinds: Collection[str] = ()) -> Callable[[Generator], Check]:
    """Subscribe to each layer of these kinds, once, however often it is called."""
    return lambda run: Check(rule, "layer", kinds, run)


def on_call(rule: Rule, kinds: Collection[str] = ()) -> Callable[[Generator], Check]:
    """Subscribe to each call of a layer of these kinds."""
    return lambda run: Check(rule, "call", kinds, run)


def on_graph(rule: Rule) -> Callable[[Generator], Check]:
    """Subscribe to each layer graph."""
    return lambda run: Check(rule, "graph", (), run)


def on_node(rule: Rule, *kinds: type[ast.AST], words: Sequence[Words] = ()) -> Callable[[Generator], Check]:
    """Subscribe to each syntax node of these types, in the sources that hold all of the `words`."""
    return lambda run: Check(rule, "node", kinds, run, words)


def on_script(rule: Rule, words: Sequence[Words] = ()) -> Callable[[Generator], Check]:
    """Subscribe to each source file that holds all of the `words`."""
    return lambda run: Check(rule, "script", (), run, words)


@cache
def checks() -> tuple[Check, ...]:
    """Every check in `normfix/checks`, by code. A module without one, or a code used twice, is an error."""
    from normfix import checks as folder

    found: list[Check] = []
    for file in os.listdir(folder.__path__[0]):
        name, suffix = os.path.splitext(file)
        if suffix != ".py" or name.startswith("_"):
            continue
        own = [one for one in vars(import_module(f"{folder.__name__}.{name}")).values() if isinstance(one, Check)]
        if not own:
            raise RuntimeError(f"normfix/checks/{file} holds no check: decorate a generator")
        found += own
    for check in found:
        twin = next(other for other in found if other.rule.code == check.rule.code)
        if twin.rule is not check.rule:
            raise RuntimeError(f"{check.rule.code} is both {twin.rule.slug} and {check.rule.slug}: codes are used once")
    return tuple(sorted(found, key=lambda check: check.rule.code))


@cache
def rules() -> Mapping[str, Rule]:
    """Every rule, by code."""
    return {rule.code: rule for rule in (*(check.rule for check in checks()), *TOOL_RULES)}


def run(facts: Facts, selected: Iterable[Check], graphs: Sequence[LayerGraph]) -> Report:
    """Run the selected checks over a source file (`facts.script`), or over graphs from another reader."""
    report = Report()
    seen: set[object] = set()
    for check, subject, about in _subjects(facts, selected, graphs):
        try:
            for problem in check.run(subject, about):
                if isinstance(problem, Undecided):
                    report.undecided.append(Abstention(check.rule.code, _where(subject, about), problem.reason))
                    continue
                finding = as_finding(check.rule, problem, facts.path)
                if facts.script is not None and finding.path != facts.path:
                    continue  # What another file constructs is judged where that file is linted.
                # A block that two graphs inline is still constructed, and mended, once.
                key = (finding.code, finding.path, finding.cell, finding.line, finding.column, finding.module)
                if key not in seen:
                    seen.add(key)
                    report.findings.append(finding)
        except Undecided as undecided:
            report.undecided.append(Abstention(check.rule.code, _where(subject, about), undecided.reason))
    report.findings.sort(key=position)
    # Two calls on one line, or two checks of one rule, may miss the same fact.
    report.undecided = list(dict.fromkeys(report.undecided))
    return report


def position(finding: Finding) -> tuple[str, int, int, int, str, str]:
    """What findings are sorted by."""
    return (finding.path, finding.cell or 0, finding.line or 0, finding.column or 0, finding.module or "", finding.code)


def _subjects(
    facts: Facts, selected: Iterable[Check], graphs: Sequence[LayerGraph]
) -> Iterator[tuple[Check, Subject, Facts]]:
    by_subject: dict[str, list[Check]] = {}
    for check in selected:
        if facts.reader in check.rule.readers:
            by_subject.setdefault(check.subject, []).append(check)
    script = facts.script
    if script is not None:
        for check in by_subject.get("script", ()):
            if check.may_find(script.text, facts.options, parsed=True):
                yield check, script, facts
        for check in by_subject.get("node", ()):
            for kind in check.kinds if check.may_find(script.text, facts.options, parsed=True) else ():
                for node in script.of_type(kind):  # type: ignore[arg-type, var-annotated]  # these are node types
                    yield check, node, facts
    for graph in graphs:
        about = replace(facts, graph=graph)
        for check in by_subject.get("graph", ()):
            yield check, graph, about
        items: dict[str, Mapping[str, Sequence[Layer | Call]]] = {
            "layer": _by_kind([*graph.layers, *_operations(graph)]),
            "call": _by_kind(graph.calls),
        }
        for subject, kinds in items.items():
            for check in by_subject.get(subject, ()):
                for kind, group in kinds.items():
                    if not check.kinds or kind in check.kinds:
                        for item in group:
                            yield check, item, about


def _by_kind(items: Iterable[Layer] | Iterable[Call]) -> Mapping[str, Sequence[Layer | Call]]:
    found: dict[str, list[Layer | Call]] = {}
    for item in items:
        found.setdefault(item.kind, []).append(item)
    return found


def _operations(graph: LayerGraph) -> Iterator[Layer]:
    """The layers of functional calls, which nobody constructs."""
    constructed = {id(layer) for layer in graph.layers}
    for call in graph.calls:
        if call.kind not in PSEUDO_KINDS and id(call.layer) not in constructed:
            constructed.add(id(call.layer))
            yield call.layer


def as_finding(rule: Rule, problem: Problem, path: str) -> Finding:
    """The problem as a finding of this rule."""
    path, origin = place(problem.site, path)
    return Finding(
        code=rule.code,
        slug=rule.slug,
        severity=problem.severity or rule.severity,
        message=problem.message,
        path=path,
        line=origin.line if origin else None,
        column=origin.column if origin else None,
        end_line=origin.end_line if origin else None,
        end_column=origin.end_column if origin else None,
        cell=origin.cell if origin else None,
        module=problem.site.module,
        help=problem.help,
        remedy=problem.remedy,
        safety=problem.safety,
        related=tuple(problem.related),
    )


def _where(subject: Subject, facts: Facts) -> str:
    site = getattr(subject, "site", None)
    if isinstance(subject, ast.AST) and facts.script is not None:
        if not facts.path.endswith(".ipynb"):  # spans cost more than lines
            return f"{facts.path}:{getattr(subject, 'lineno', 1)}"
        site = Site(facts.script.origin_of(subject))
    if isinstance(site, Site) and site.origin is not None:
        cell = "" if site.origin.cell is None else f"cell {site.origin.cell}:"
        return f"{site.origin.path}:{cell}{site.origin.line}"
    name = getattr(getattr(subject, "layer", subject), "name", "")
    return f"{facts.path}:{name}" if name and facts.path else str(name or facts.path)
