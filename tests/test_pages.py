"""`normfix rule`, and where it finds the pages."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from normfix import cli, pages
from normfix.engine import rules

CHECKOUT = Path(__file__).parents[1]


def test_one_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rule", "NF301"]) == 0
    assert capsys.readouterr().out == (CHECKOUT / "rules" / "NF301-bias-before-norm.md").read_text(encoding="utf-8")


def test_a_slug_and_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rule", "uncalled-mode", "NF90"]) == 0
    titles = [line for line in capsys.readouterr().out.splitlines() if line.startswith("# ") and line.endswith(")")]
    assert titles == ["# uncalled-mode (NF403)", "# unused-suppression (NF901)", "# unreadable-file (NF902)"]


def test_without_a_rule_there_is_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rule"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:5] for line in lines] == list(rules())


def test_json_holds_rule_and_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rule", "NF403", "--output-format", "json"]) == 0
    [plain] = json.loads(capsys.readouterr().out)
    assert (plain["code"], plain["slug"], plain["severity"]) == ("NF403", "uncalled-mode", "error")
    assert plain["page"].startswith("# uncalled-mode (NF403)\n")


def test_every_rule_has_its_page() -> None:
    assert [rule.code for rule in rules().values() if not pages.page(rule).startswith(f"# {rule.slug}")] == []


def test_a_missing_page_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(pages, "_HERE", "/nowhere/else")
    assert cli.main(["rule", "NF301"]) == 2
    assert "this installation has no page `NF301-bias-before-norm.md`" in capsys.readouterr().err


def test_colors_render_the_page(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert cli.main(["rule", "NF301"]) == 0
    assert "\x1b[" in capsys.readouterr().out


@pytest.mark.network
def test_the_wheel_holds_the_pages(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(tmp_path),
        str(CHECKOUT),
    ]
    subprocess.run(command, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"normfix/rules/{rule.code}-{rule.slug}.md" for rule in rules().values()} <= names
