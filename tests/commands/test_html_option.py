"""`--html FILE` and `rule --output-format html`: the page is there, and what the command prints stays."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("leather")

from normfix.cli import main

BAD = "import torch.nn as nn\nmodel = nn.Linear(1, 1)\nmodel.eval\n"
MODEL = """
import torch
from torch import nn

def net(width=4):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU())
    nn.init.uniform_(model[1].running_mean)
    nn.init.uniform_(model[1].running_var, 0.5, 2)
    return model
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text(BAD)
    (tmp_path / "net.py").write_text(MODEL)
    return tmp_path


def run(*words: str) -> int:
    return main(list(words))


def graphs(page: str) -> list[dict[str, list[dict[str, object]]]]:
    data = re.search(r'<script type="application/json" id="graphs">(.*?)</script>', page, re.DOTALL)
    assert data
    found: list[dict[str, list[dict[str, object]]]] = json.loads(data[1])
    return found


def test_a_page_that_cannot_be_written_is_a_usage_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("lint", "bad.py", "--html", "missing/page.html") == 2
    assert "error: cannot write `missing/page.html`: there is no folder" in capsys.readouterr().err


def test_lint_writes_the_page_and_prints_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("lint", "bad.py", "--select", "NF403") == 1
    plain = capsys.readouterr().out
    assert run("lint", "bad.py", "--select", "NF403", "--html", "page.html") == 1
    assert capsys.readouterr().out == plain
    page = (folder / "page.html").read_text()
    assert "<title>normfix lint bad.py</title>" in page
    assert "<mark>model.eval</mark>" in page


def test_check_draws_the_network_and_its_norms(folder: Path) -> None:
    pytest.importorskip("torch")
    assert run("check", "net.py:net", "--input", "2x3x8x8", "--purpose", "training", "--html", "page.html") == 1
    page = (folder / "page.html").read_text()
    (drawn,) = graphs(page)
    assert [node["kind"] for node in drawn["nodes"]] == ["input", "Conv2d", "BatchNorm2d", "ReLU"]
    assert [node.get("severity") for node in drawn["nodes"]][2] == 2
    assert "running mean: 4 channels" in page


def test_fold_shows_both_networks_the_proof_and_the_outputs(folder: Path) -> None:
    pytest.importorskip("onnxruntime")
    assert run("fold", "net.py:net", "--input", "2x3x8x8", "--html", "page.html") == 0
    page = (folder / "page.html").read_text()
    before, after = graphs(page)
    assert [node.get("mark") for node in before["nodes"]] == [None, "changed", "removed", None]
    assert [node["kind"] for node in after["nodes"]] == ["input", "Conv2d", "ReLU"]
    assert '<h2 id="proof-title">Proven</h2>' in page
    assert page.count('class="line after"') == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(["-o", "new.pt"], "wrote new.pt, page.html", id="beside-the-model"),
        pytest.param([], "wrote page.html", id="alone"),
        pytest.param(["--dry-run"], "wrote page.html", id="a-dry-run-shows-it"),
        pytest.param(["-o", "new.pt", "--dry-run"], "wrote page.html, and nothing else (--dry-run)", id="dry-run"),
    ],
)
def test_the_page_of_a_rewrite_is_listed(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    pytest.importorskip("torch")
    options = ("--input", "2x3x8x8", "--prove", "none", "--html", "page.html")
    assert run("fold", "net.py:net", *options, *words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == told
    assert (folder / "page.html").exists() and (folder / "new.pt").exists() == (words == ["-o", "new.pt"])


def test_verify_shows_the_proof_of_models_that_differ(folder: Path) -> None:
    pytest.importorskip("torch")
    (folder / "other.py").write_text(MODEL.replace("0.5, 2", "0.5, 3"))
    words = ("--input", "2x3x8x8", "--prove", "formula", "--html", "page.html")
    assert run("verify", "net.py:net", "other.py:net", *words) == 1
    assert '<h2 id="proof-title">Not proven</h2>' in (folder / "page.html").read_text()


def test_rules_go_to_one_file_or_to_standard_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("rule", "NF301", "--output-format", "html", "-o", "rules.html") == 0
    assert capsys.readouterr().out == ""
    assert run("rule", "NF301", "--output-format", "html") == 0
    assert capsys.readouterr().out == (folder / "rules.html").read_text()


def test_a_file_for_rules_that_are_no_html_is_a_usage_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("rule", "NF301", "-o", "rules.html") == 2
    assert "`-o` goes with `--output-format html`" in capsys.readouterr().err


def test_every_rule_has_its_place_in_the_site(folder: Path) -> None:
    assert run("rule", "--all", "--output-format", "html", "-o", "site") == 0
    index = (folder / "site" / "index.html").read_text()
    assert "Others" not in re.findall(r"<h2>(.*?)</h2>", index)


def test_the_page_of_a_check_shows_the_model_that_was_checked(folder: Path) -> None:
    (folder / "net.py").write_text(MODEL + "\n    print('built', file=open('built.txt', 'a'))\n    return model\n")
    text = (folder / "net.py").read_text().replace("    return model\n\n", "\n", 1)
    (folder / "net.py").write_text(text)
    assert run("check", "net.py:net", "--input", "2x3x8x8", "--select", "NF301", "--html", "page.html") == 1
    assert (folder / "built.txt").read_text() == "built\n"
    assert graphs((folder / "page.html").read_text())
