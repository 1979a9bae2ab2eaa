"""The engine: who is asked about what, and what becomes of the answers."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from normfix import checks as folder
from normfix import engine
from normfix.engine import LIVE, SOURCE, Check, Facts, Rule, on_call, on_graph, on_layer, on_node, on_script
from normfix.findings import Problem, Severity
from normfix.graph import Call, Layer, LayerGraph, Origin, Site, Undecided
from normfix.readers import scripts

RULE = Rule("NF999", "made-up", Severity.WARNING, readers=SOURCE | LIVE)


def graph() -> LayerGraph:
    """x -> conv -> norm -> relu -> conv again."""
    x = Call(Layer("input", "x"))
    conv = Layer("Conv2d", "conv", Site(module="conv"))
    norm = Layer("BatchNorm2d", "norm", Site(module="norm"))
    first = Call(conv, (x,))
    second = Call(norm, (first,))
    third = Call(Layer("relu", "F.relu", Site(module="relu")), (second,))
    last = Call(conv, (third,))
    return LayerGraph("net", [conv, norm], [x, first, second, third, last], [last])


def seen(decorate: object, reader: str = "model", **facts: object) -> list[str]:
    """The names of the subjects that a check is asked about."""
    names: list[str] = []

    @decorate  # type: ignore[operator,untyped-decorator]  # one of the on_... decorators
    def check(subject: object, about: Facts) -> Iterator[Problem]:
        names.append(str(getattr(getattr(subject, "layer", subject), "name", type(subject).__name__)))
        return iter(())

    engine.run(Facts(reader, **facts), [check], [graph()])  # type: ignore[arg-type]
    return names


class TestSubscriptions:
    def test_a_rule_of_another_reader_is_not_asked(self) -> None:
        assert seen(on_layer(Rule("NF999", "made-up", Severity.INFO, readers=SOURCE))) == []

    def test_kinds_that_are_not_there_are_not_asked_about(self) -> None:
        assert seen(on_layer(RULE, {"LayerNorm"})) == []
        assert seen(on_call(RULE, {"LayerNorm"})) == []

    def test_a_layer_is_asked_about_once_however_often_it_is_called(self) -> None:
        assert seen(on_layer(RULE, {"Conv2d"})) == ["conv"]
        assert seen(on_call(RULE, {"Conv2d"})) == ["conv", "conv"]

    def test_an_operation_counts_as_a_layer(self) -> None:
        assert seen(on_layer(RULE, {"relu"})) == ["F.relu"]

    def test_inputs_are_no_layers(self) -> None:
        assert "x" not in seen(on_layer(RULE))

    def test_a_graph_is_asked_about_as_a_whole(self) -> None:
        assert seen(on_graph(RULE)) == ["net"]

    def test_nodes_and_scripts_need_a_script(self) -> None:
        assert seen(on_node(RULE, ast.Expr)) == []
        script = scripts.read("a\nb\nc = 1\n", "m.py")
        assert seen(on_node(RULE, ast.Expr), "source", script=script) == ["Expr", "Expr"]
        assert seen(on_script(RULE), "source", script=script) == ["Script"]


class TestAnswers:
    def test_an_abstention_is_no_finding(self) -> None:
        @on_layer(RULE, {"Conv2d", "BatchNorm2d"})
        def check(layer: Layer, facts: Facts) -> Iterator[Problem]:
            if layer.name == "conv":
                raise Undecided("the bias is an expression")
            yield Problem(layer.site, "bad")

        report = engine.run(Facts("model", "net"), [check], [graph()])
        assert [finding.module for finding in report.findings] == ["norm"]
        assert [(one.code, one.where, one.reason) for one in report.undecided] == [
            ("NF999", "net:conv", "the bias is an expression")
        ]

    def test_a_problem_before_an_abstention_stands(self) -> None:
        @on_graph(RULE)
        def check(network: LayerGraph, facts: Facts) -> Iterator[Problem]:
            yield Problem(Site(module="conv"), "bad")
            raise Undecided("the rest is not known")

        report = engine.run(Facts("model"), [check], [graph()])
        assert len(report.findings) == len(report.undecided) == 1

    def test_a_fact_that_two_checks_of_a_rule_miss_is_named_once(self) -> None:
        @on_graph(RULE)
        def first(network: LayerGraph, facts: Facts) -> Iterator[Problem]:
            raise Undecided("the bias is an expression")
            yield

        @on_graph(RULE)
        def second(network: LayerGraph, facts: Facts) -> Iterator[Problem]:
            raise Undecided("the bias is an expression")
            yield

        assert len(engine.run(Facts("model", "net"), [first, second], [graph()]).undecided) == 1

    def test_an_error_of_a_check_is_not_swallowed(self) -> None:
        @on_graph(RULE)
        def check(network: LayerGraph, facts: Facts) -> Iterator[Problem]:
            raise ZeroDivisionError
            yield

        with pytest.raises(ZeroDivisionError):
            engine.run(Facts("model"), [check], [graph()])

    def test_one_line_is_found_once_though_two_graphs_hold_it(self) -> None:
        site = Site(Origin("m.py", 3, 1, 3, 9))

        @on_graph(RULE)
        def check(network: LayerGraph, facts: Facts) -> Iterator[Problem]:
            yield Problem(site, "bad")

        report = engine.run(Facts("source", "m.py"), [check], [graph(), graph()])
        assert [(finding.path, finding.line) for finding in report.findings] == [("m.py", 3)]

    def test_findings_come_in_the_order_of_the_source(self) -> None:
        @on_graph(RULE)
        def check(network: LayerGraph, facts: Facts) -> Iterator[Problem]:
            for line in (7, 2, 5):
                yield Problem(Site(Origin("m.py", line, 1, line, 9)), "bad")

        report = engine.run(Facts("source", "m.py"), [check], [graph()])
        assert [finding.line for finding in report.findings] == [2, 5, 7]

    def test_severity_is_that_of_the_rule_unless_the_problem_has_its_own(self) -> None:
        @on_graph(RULE)
        def check(network: LayerGraph, facts: Facts) -> Iterator[Problem]:
            yield Problem(Site(module="a"), "bad")
            yield Problem(Site(module="b"), "worse", severity=Severity.ERROR)

        report = engine.run(Facts("model"), [check], [graph()])
        assert [finding.severity for finding in report.findings] == [Severity.WARNING, Severity.ERROR]


def folder_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> None:
    """Let the engine look for checks in a package that holds these files."""
    package = tmp_path / "made_up_checks"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(folder, "__path__", [str(package)])
    monkeypatch.setattr(folder, "__name__", "made_up_checks")


CHECK = (
    "from normfix.engine import Rule, on_graph\nfrom normfix.findings import Severity\n"
    "RULE = Rule({code!r}, {slug!r}, Severity.INFO, readers={{'model'}})\n"
    "@on_graph(RULE)\ndef check(graph, facts):\n    return iter(())\n"
)


class TestDiscovery:
    @pytest.fixture(autouse=True)
    def fresh(self) -> Iterator[None]:
        """The real checks come back after a test that looked elsewhere."""
        yield
        for name in [name for name in sys.modules if name.startswith("made_up_checks")]:
            del sys.modules[name]

    def test_a_file_without_a_check_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder_with(tmp_path, monkeypatch, nf998_empty="RULE = None\n")
        with pytest.raises(RuntimeError, match=r"nf998_empty\.py holds no check"):
            engine.checks.__wrapped__()

    def test_a_code_used_twice_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder_with(
            tmp_path,
            monkeypatch,
            nf998_one=CHECK.format(code="NF998", slug="one"),
            nf998_two=CHECK.format(code="NF998", slug="two"),
        )
        with pytest.raises(RuntimeError, match="NF998 is both"):
            engine.checks.__wrapped__()

    def test_a_helper_needs_no_check(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder_with(tmp_path, monkeypatch, _helper="", nf998_one=CHECK.format(code="NF998", slug="one"))
        assert [check.rule.slug for check in engine.checks.__wrapped__()] == ["one"]

    @pytest.mark.parametrize("check", engine.checks(), ids=lambda check: f"{check.rule.code} {check.subject}")
    def test_every_check_is_where_its_rule_says(self, check: Check) -> None:
        module = check.run.__module__.rpartition(".")[2]
        assert module == f"nf{check.rule.code[2:]}_{check.rule.slug.replace('-', '_')}"
        assert check.run.__doc__, "the docstring of a check says why the pattern is bad"
        assert set(check.rule.readers) <= engine.EVERYWHERE

    @pytest.mark.parametrize("rule", engine.rules().values(), ids=lambda rule: rule.code)
    def test_slugs_are_kebab_case_and_used_once(self, rule: Rule) -> None:
        assert rule.slug == rule.slug.lower().replace("_", "-").replace(" ", "-")
        assert [other.code for other in engine.rules().values() if other.slug == rule.slug] == [rule.code]
