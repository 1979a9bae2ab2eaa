"""The HTML page as text: sizes, escapes, policy, and what is there when something is missing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("leather")

from sample_networks import about, norms_of, residual

from normfix.checking.inspection import rows
from normfix.errors import UsageError
from normfix.findings import Abstention, Finding, Report, Severity
from normfix.graph import Call, Layer, LayerGraph, Site, Unknown
from normfix.reports import html
from normfix.reports.html import environment, findings, layers
from normfix.reports.html.picture import differences, picture
from normfix.rewrites import Change, Proof, Refusal, Rewrite


@pytest.mark.parametrize("missing", [["jinja2"], ["jinja2", "markupsafe"]], ids=["alone", "with what it brings"])
def test_missing_jinja_names_the_extra(missing: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    environment._environment.cache_clear()
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=r"jinja2 is missing; pip install \"normfix\[html\]\""):
        html.render(html.Document("x"))
    environment._environment.cache_clear()


def test_missing_leather_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "leather", None)
    with pytest.raises(UsageError, match=r"leather is missing; pip install \"normfix\[html\]\""):
        html.render(html.Document("x", graph=residual(1)))


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page.html").write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(UsageError, match=r"cannot write `.*page\.html`: No space left"):
        html.write(tmp_path / "page.html", html.Document("new"))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("page.html", "old")]


def test_a_folder_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        html.write(tmp_path / "missing" / "page.html", html.Document("x"))


def test_the_same_document_gives_the_same_bytes() -> None:
    graph = residual(30)
    document = html.Document("x", report=about(norms_of(graph)), graph=graph)
    assert html.render(document) == html.render(document)


def test_three_hundred_norms_with_findings_stay_below_two_and_a_half_megabytes() -> None:
    graph = residual(300)
    report = about(norms_of(graph), text="        self.conv = nn.Conv2d(64, 64, kernel_size=3, padding=1)\n" * 500)
    after = residual(300, folded=True)
    proof = Proof(True, 1e-15, 1e-7, 1e-7)
    rewrite = Rewrite(None, [Change(layer.name, "folded into `x`") for layer in norms_of(graph)], [], proof)
    page = html.render(html.Document("x", report=report, graph=graph, after=after, rewrite=rewrite))
    assert len(page.encode()) < 2_500_000


def test_the_policy_names_exactly_the_scripts_and_the_style_of_the_page() -> None:
    page = html.render(html.Document("x", graph=residual(3)))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    rules = dict(part.strip().split(" ", 1) for part in policy[1].replace("&#39;", "'").split(";"))
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert rules["default-src"] == "'none'"
    assert rules["style-src"].split() == [digest(text) for text in style]
    assert digest(script[0]) in rules["script-src"].split()
    assert len(rules["script-src"].split()) == 3
    assert not {"'unsafe-inline'", "'unsafe-eval'", "https:", "data:", "*"} & set(policy[1].split())


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_nothing_in_the_page_points_elsewhere() -> None:
    graph = residual(6)
    page = html.render(html.Document("x", report=about(norms_of(graph)), graph=graph))
    seen = Attributes()
    seen.feed(page)
    assert {name for name, _ in seen.found if name in ("src", "srcset", "style", "action", "data", "poster")} == set()
    assert all((value or "").startswith("#") for name, value in seen.found if "href" in name)
    assert not [name for name, _ in seen.found if name.startswith("on")]
    assert "url(" not in environment.static("report.css")


class Attributes(HTMLParser):
    """Every attribute of a page, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += attrs


def test_a_report_without_a_graph_carries_no_library() -> None:
    page = html.render(html.Document("x", report=about(norms_of(residual(3)))))
    assert len(page) < 60_000
    assert "wasm-unsafe-eval" not in page


def test_a_network_without_known_calls_says_why() -> None:
    graph = residual(3)
    graph = LayerGraph("open", graph.layers, [], [], Unknown("`forward` branches on the values of `x`"))
    page = html.render(html.Document("x", graph=graph))
    assert "There is no picture: <code>forward</code> branches on the values of <code>x</code>." in page
    assert page.count('<tr id="norm-') == 3


def test_a_message_keeps_its_backticks_as_code_and_escapes_the_rest() -> None:
    finding = Finding("NF1", "s", Severity.INFO, "`a<b>` is <i> and `c", "x.py")
    even = Finding("NF1", "s", Severity.INFO, "`a<b>` is <i>", "x.py")
    page = html.render(html.Document("x", report=Report([finding, even])))
    assert "`a&lt;b&gt;` is &lt;i&gt; and `c" in page
    assert "<code>a&lt;b&gt;</code> is &lt;i&gt;" in page


def test_findings_come_the_worst_first_with_their_lines() -> None:
    text = "a = 1\nconv = Conv2d(3)\nb = 2\n"
    low = Finding("NF1", "low", Severity.INFO, "m", "m.py", 1, 1, 1, 2)
    high = Finding("NF2", "high", Severity.ERROR, "m", "m.py", 2, 8, 2, 17)
    shown = findings.shown(Report([low, high], sources={"m.py": text}))
    assert [one.slug for one in shown] == ["high", "low"]
    hit = shown[0].frame[1]
    assert (hit.number, hit.before, hit.marked, hit.after) == (2, "conv = ", "Conv2d(3)", "")
    assert [line.number for line in shown[0].frame] == [1, 2, 3, 4]


def test_a_line_of_a_megabyte_is_cut_around_the_finding() -> None:
    text = "x = [" + "1, " * 300_000 + "nn.Conv2d(3)" + ", 1" * 300_000 + "]"
    start = text.index("nn.")
    finding = Finding("NF1", "s", Severity.INFO, "m", "m.py", 1, start + 1, 1, start + 13)
    frame = findings.shown(Report([finding], sources={"m.py": text}))[0].frame
    assert frame[0].marked == "nn.Conv2d(3)"
    assert sum(map(len, (frame[0].before, frame[0].after))) < 1000


def test_the_filter_reads_path_rule_message_and_module() -> None:
    finding = Finding("NF301", "bias-before-norm", Severity.INFO, "The Bias", "src/Net.py", 3, 1, module="a.BN")
    assert findings.shown(Report([finding]))[0].words == "nf301 bias-before-norm the bias src/net.py:3:1 a.bn"


def test_rows_tell_axes_counts_and_neighbours() -> None:
    row = rows(residual(3))[0]
    assert row == {
        "#": 1,
        "path": "stages.0.blocks.0.bn0",
        "layer": "BatchNorm2d",
        "input": "8x16x14x14",
        "axes": "0+2+3",
        "statistics": "16",
        "elements": "1,568",
        "least batch": "1",
        "eps": "1e-05",
        "momentum": "0.1",
        "parameters": "weight, bias, running_mean, running_var",
        "mode": "eval",
        "fed by": "stages.0.blocks.0.conv0",
        "read by": "stages.0.blocks.0.act0",
    }


def test_rows_say_unknown_where_a_fact_is_missing_and_nothing_where_there_is_none() -> None:
    norm = Layer("LayerNorm", "ln")
    row = rows(LayerGraph("x", [norm], [Call(norm)]))[0]
    assert (row["input"], row["axes"], row["mode"], row["momentum"]) == ("unknown", "unknown", "unknown", "")
    assert row["eps"] == "1e-05"


def test_given_rows_are_shown_as_they_are() -> None:
    page = html.render(html.Document("x", norms=[{"path": "bn", "foldable": "no: <b>"}, {"path": "bn2", "extra": 3}]))
    assert re.findall(r"<th scope=\"col\"(?: class=\"n\")?>(\w+)</th>", page) == ["path", "foldable", "extra"]
    assert "<td>no: &lt;b&gt;</td>" in page


def test_a_picture_puts_calls_into_the_modules_that_run_them() -> None:
    plain = picture(residual(3), [], {}, {})
    paths = [box["path"] for box in plain["boxes"]]
    assert paths == ["", "stages", "stages.0", "stages.0.blocks", "stages.0.blocks.0"]
    homes = {node["name"]: paths[node["box"]] for node in plain["nodes"]}
    assert homes["image"] == ""
    assert homes["stages.0.blocks.0.bn1"] == homes["stages.0.blocks.0.add"] == "stages.0.blocks.0"
    assert plain["boxes"][-1]["kind"] == "Block"
    assert [node.get("output") for node in plain["nodes"]].index(True) == len(plain["nodes"]) - 1


def test_a_picture_takes_the_worst_finding_of_each_layer() -> None:
    graph = residual(3)
    name = norms_of(graph)[0].name
    both = [Finding("a", "a", severity, "m", "", module=name) for severity in (Severity.WARNING, Severity.INFO)]
    found = {node["name"]: node.get("severity") for node in picture(graph, both, {}, {})["nodes"]}
    assert found[name] == Severity.WARNING
    assert set(found.values()) == {Severity.WARNING, None}


def test_unknown_inputs_are_told_from_those_that_are_not_drawn() -> None:
    constant, add = Layer("constant", "w"), Layer("add", "add", Site(module=""))
    graph = LayerGraph("x", [], [held := Call(constant), Call(add, (held, Unknown("a branch")))])
    assert [node["inputs"] for node in picture(graph, [], {}, {})["nodes"]] == [[-1]]


@pytest.mark.parametrize("size", [41, 1600, 1601, 5000])
def test_no_box_holds_more_than_can_be_shown(size: int) -> None:
    layers = [Layer("ReLU", f"l{number}", Site(module=f"l{number}")) for number in range(size)]
    plain = picture(LayerGraph("x", layers, [Call(one, site=one.site) for one in layers]), [], {}, {})
    inside = [node["box"] for node in plain["nodes"]] + [box["parent"] for box in plain["boxes"]]
    assert max(map(inside.count, set(inside))) <= 40
    assert [node["name"] for node in plain["nodes"]] == [one.name for one in layers]


def test_before_and_after_differ_where_a_layer_went_came_or_changed() -> None:
    old, new = differences(residual(2), residual(2, folded=True))
    block = "stages.0.blocks.0"
    assert old == {
        f"{block}.bn0": "removed",
        f"{block}.bn1": "removed",
        f"{block}.conv0": "changed",
        f"{block}.conv1": "changed",
    }
    assert new == {f"{block}.conv0": "changed", f"{block}.conv1": "changed"}
    assert differences(residual(2), residual(2)) == ({}, {})


def test_names_in_the_data_of_the_picture_cannot_end_the_script() -> None:
    graph = residual(1, rename=lambda name: f"{name}</script><!--<script>")
    page = html.render(html.Document("x", graph=graph))
    data = re.search(r'<script type="application/json" id="graphs">(.*?)</script>', page, re.DOTALL)
    assert data
    assert [node["name"] for node in json.loads(data[1])[0]["nodes"]][2].endswith("</script><!--<script>")
    assert "<" not in data[1]


def test_a_proof_that_failed_is_not_shown_as_one_that_holds() -> None:
    page = html.render(html.Document("x", proof=Proof(False, float("inf"), None, 3e-7, ("ONNX: `no`",))))
    assert '<h2 id="proof-title">Not proven</h2>' in page
    assert "not measured" in page
    assert "ONNX: <code>no</code>" in page


def test_a_proof_that_nobody_asked_for_shows_no_numbers() -> None:
    page = html.render(html.Document("x", proof=Proof(True, None, None, None, level="none")))
    assert "No proof was asked for" in page
    assert '<dl class="numbers">' not in page


def test_changes_and_refusals_are_told() -> None:
    rewrite = Rewrite(
        None, [Change("bn", "folded")], [Refusal("bn2", "`bn2` is read twice")], Proof(True, 0.0, 0.0, 0.0)
    )
    page = html.render(html.Document("x", rewrite=rewrite))
    assert "<code>bn</code></td><td>folded</td>" in page
    assert "<code>bn2</code></td><td><code>bn2</code> is read twice</td>" in page


def test_a_thousand_abstentions_are_counted_not_listed() -> None:
    report = Report(undecided=[Abstention("NF301", f"a.py:{number}", "`b` is unknown") for number in range(1234)])
    page = html.render(html.Document("x", report=report))
    assert "… and 234 more." in page
    assert "a.py:999<" in page
    assert "a.py:1000<" not in page


def test_only_the_first_findings_carry_their_code() -> None:
    finding = Finding("NF1", "s", Severity.INFO, "m", "m.py", 1, 1, 1, 2)
    shown = findings.shown(Report([finding] * 501, sources={"m.py": "x = 1\n"}))
    assert [bool(one.frame) for one in shown] == [True] * 500 + [False]


def test_a_norm_that_a_finding_points_to_is_coloured_too() -> None:
    graph = residual(1)
    conv, norm = "stages.0.blocks.0.conv0", "stages.0.blocks.0.bn0"
    related = [("the norm that subtracts it", Site(module=norm))]
    finding = Finding("NF301", "s", Severity.WARNING, "m", "", module=conv, related=related)
    found = {node["name"]: node.get("severity") for node in picture(graph, [finding], {}, {})["nodes"]}
    assert (found[conv], found[norm]) == (2, 2)


def test_a_swap_that_moves_the_output_is_not_called_proven() -> None:
    page = html.render(html.Document("x", proof=Proof(True, None, 1e-7, 1e-7, drift=0.8)))
    assert '<h2 id="proof-title">The interface holds, the output moves</h2>' in page
    assert "8.0e-01" in page


def test_columns_of_numbers_are_told_from_columns_of_words() -> None:
    norms = [{"path": "bn", "eps": "1e-05", "axes": "0+2"}, {"path": "ln", "eps": "unknown", "axes": "1"}]
    table = layers.table(None, norms, [])
    assert [title for place, title in enumerate(table.titles) if place in table.numeric] == ["eps"]


def test_norms_that_a_rewrite_left_are_marked_in_the_strip() -> None:
    graph = residual(3)
    first, second = (norm.name for norm in norms_of(graph)[:2])
    kept = Rewrite(None, [Change(first, "folded")], [Refusal(second, "it is hooked")], Proof(True, 0.0, 0.0, 0.0))
    page = html.render(html.Document("x", graph=graph, rewrite=kept))
    assert re.findall(r'class="none left" title="([^"]+)"', page) == [second]
