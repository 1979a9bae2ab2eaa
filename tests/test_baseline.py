"""A baseline knows findings by what they are about; it shrinks, and never hides new ones."""

import json
from pathlib import Path

import pytest

from normfix import UsageError, cli, lint

HEAD = "import torch\n\ndef f(model: torch.nn.Module, other: torch.nn.Module):\n"
MISUSE = HEAD + "    model.eval\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one known finding."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text(MISUSE)
    (tmp_path / "src" / "b.py").write_text("import torch\n")
    assert cli.main(["baseline", "write", "-o", "known.json"]) == 0
    return tmp_path


def found(*paths: str) -> list[tuple[str, int | None]]:
    return [(finding.path, finding.line) for finding in lint(paths or ["."], baseline="known.json").findings]


def entries(folder: Path) -> list[tuple[str, str, int]]:
    plain = json.loads((folder / "known.json").read_text())
    return [(entry["rule"], entry["path"], entry["count"]) for entry in plain["entries"]]


KNOWN = {
    "as it was": MISUSE,
    "lines before it": "# a comment\n\n\n" + MISUSE,
    "formatted anew": MISUSE.replace("model.eval", "(model\n        .eval)  # here"),
    "in another function": MISUSE.replace("def f", "def g"),
    "under a condition": MISUSE.replace("    model", "    if torch:\n        model"),
}


@pytest.mark.parametrize("text", KNOWN.values(), ids=KNOWN)
def test_known(text: str, folder: Path) -> None:
    (folder / "src" / "a.py").write_text(text)
    assert found() == []


NEW = {
    "another statement": (HEAD + "    other.eval\n", [("src/a.py", 4)]),
    "one more of the same": (MISUSE + "    model.eval\n", [("src/a.py", 5)]),
    "another line of it": (MISUSE.replace("model.eval", "model.train"), [("src/a.py", 4)]),
}


@pytest.mark.parametrize("text, expected", NEW.values(), ids=NEW)
def test_new(text: str, expected: list[tuple[str, int]], folder: Path) -> None:
    (folder / "src" / "a.py").write_text(text)
    assert found() == expected


def test_the_same_misuse_in_another_file_is_new(folder: Path) -> None:
    (folder / "src" / "b.py").write_text(MISUSE)
    assert found() == [("src/b.py", 4)]


def test_no_line_numbers_and_paths_from_where_it_is(folder: Path) -> None:
    assert entries(folder) == [("NF403", "src/a.py", 1)]
    assert set(json.loads((folder / "known.json").read_text())["entries"][0]) == {"rule", "path", "statement", "count"}


def test_it_is_found_from_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "src")
    assert lint(["a.py"], baseline="../known.json").findings == []


def test_it_shrinks_and_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "src" / "a.py").write_text(HEAD + "    model.eval()\n")
    assert cli.main(["lint", "--baseline", "known.json"]) == 0
    assert "note: 1 finding is gone, and was dropped from `known.json`" in capsys.readouterr().err
    assert entries(folder) == []


@pytest.mark.parametrize("broken", ["x = (\n", "\0"], ids=["a syntax error", "a null byte"])
def test_it_keeps_what_is_known_of_a_file_that_cannot_be_read(broken: str, folder: Path) -> None:
    before = entries(folder)
    (folder / "src" / "a.py").write_text(MISUSE + broken)
    (folder / "src" / "b.py").write_text(HEAD)
    assert [finding.code for finding in lint(["src"], baseline="known.json").findings] == ["NF902"]
    assert entries(folder) == before


def test_it_keeps_what_is_known_of_a_file_that_cannot_be_read_where_that_is_ignored(folder: Path) -> None:
    before = entries(folder)
    (folder / "src" / "a.py").write_text(MISUSE + "x = (\n")
    (folder / "src" / "b.py").write_text(HEAD)
    assert lint(["src"], ignore=["NF902"], baseline="known.json").findings == []
    assert entries(folder) == before


def test_it_keeps_what_is_known_of_a_file_that_normfix_fails_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = entries(folder)
    monkeypatch.setattr("normfix.linting.examine.examine_text", lambda *_: 1 // 0)
    assert lint(["src"], baseline="known.json").errors
    assert entries(folder) == before


def test_a_file_that_cannot_shrink_is_no_reason_to_fail(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = entries(folder)
    (folder / "src" / "a.py").write_text(HEAD + "    model.eval()\n")
    monkeypatch.setattr("os.access", lambda *_: False)
    assert cli.main(["lint", "--baseline", "known.json"]) == 0
    told = (
        "note: 1 finding is gone, and was not dropped from `known.json`: cannot write `known.json`: it is read-only\n"
    )
    assert capsys.readouterr().err == told
    assert entries(folder) == before


def test_it_shrinks_with_a_file_that_is_removed(folder: Path) -> None:
    (folder / "src" / "a.py").unlink()
    found("src")
    assert entries(folder) == []


def test_it_keeps_what_was_not_looked_for(folder: Path) -> None:
    before = entries(folder)
    found("src/b.py")
    lint(["."], baseline="known.json", select=["NF301"])
    lint(["."], baseline="known.json", exclude=["a.py"])
    assert entries(folder) == before


def test_it_is_configured(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool.normfix]\nbaseline = 'known.json'\n")
    assert cli.main(["lint"]) == 0
    (folder / "src" / "b.py").write_text(MISUSE)
    assert cli.main(["lint"]) == 1


def test_it_is_written_anew_where_it_is_configured(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool.normfix]\nbaseline = 'known.json'\n")
    (folder / "src" / "b.py").write_text(MISUSE)
    (folder / "known.json").unlink()
    for _ in range(2):  # what it holds already is found again, and kept
        assert cli.main(["baseline", "write"]) == 0
        assert entries(folder) == [("NF403", "src/a.py", 1), ("NF403", "src/b.py", 1)]
    assert cli.main(["lint"]) == 0


DAMAGE = {
    "missing": (None, "No such file"),
    "no JSON": ("{", "damaged"),
    "another shape": ("[]", "`normfix baseline write` did not make it"),
    "an entry without its path": ('{"entries": [{"rule": "NF301"}]}', "did not make it"),
}


@pytest.mark.parametrize("text, reason", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_baseline_is_bad_input(text: str | None, reason: str, folder: Path) -> None:
    if text is None:
        (folder / "known.json").unlink()
    else:
        (folder / "known.json").write_text(text)
    with pytest.raises(UsageError, match=rf"cannot read the baseline `known.json`: .*{reason}"):
        found()


def test_a_broken_file_and_a_notebook_can_be_known(folder: Path) -> None:
    (folder / "src" / "c.py").write_text("import torch\nmodel.eval\nx = (\n")
    cells = [{"cell_type": "code", "source": "import torch\nm = torch.nn.ReLU()\nm.eval\nm(1)", "metadata": {}}]
    (folder / "src" / "n.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}))
    assert [path for path, _ in found()] == ["src/c.py", "src/n.ipynb"]
    assert cli.main(["baseline", "write", "-o", "known.json"]) == 0
    assert found() == []
