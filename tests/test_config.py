"""Configuration files: which one counts, what it may say, and what is said about the rest."""

from pathlib import Path

import pytest

from normfix import UsageError, cli, lint, lint_source
from normfix.findings import Report

MISUSE = "import torch\n\ndef f(model: torch.nn.Module):\n    model.eval\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose pyproject.toml is written by the test, linted from its root."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text(MISUSE)
    (tmp_path / "b.py").write_text(MISUSE)
    return tmp_path


def configure(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(text)


def paths(report: Report) -> list[str]:
    return [finding.path for finding in report.findings]


WRONG = {
    "an unknown key": ("[tool.normfix]\nselct = []", "unknown key `selct` in .*; did you mean `select`"),
    "a key with underscores": ("[tool.normfix]\nextend_select = []", "did you mean `extend-select`"),
    "a key like no other": ("[tool.normfix]\nzzz = 1", "unknown key `zzz` in .*; known are `select`, "),
    "a rule without settings": ("[tool.normfix]\nuncalled-mode = 'x'", "unknown key `uncalled-mode`"),
    "a setting that a rule does not have": ("[tool.normfix]\nmissing-eval = 'x'", "'x', and may be 'sure' or 'broad'"),
    "an unknown rule": ("[tool.normfix]\nignore = ['NF999']", "`ignore` in .*: no rule is called `NF999`"),
    "an unknown rule for a file": (
        "[tool.normfix.per-file-ignores]\n'a.py' = ['NF4003']",
        "no rule is called `NF4003`",
    ),
    "a text for a list": ("[tool.normfix]\nselect = 'NF301'", "must be a list of texts, not 'NF301'"),
    "a list for a table": ("[tool.normfix]\nper-file-ignores = []", "must be a table of patterns"),
    "an unknown severity": ("[tool.normfix]\nfail-on = 'fatal'", "'fatal', and may be 'info', 'warning' or 'error'"),
    "no TOML": ("[tool.normfix\n", "cannot read the configuration `.*pyproject.toml`: "),
    "no table": ("[tool]\nnormfix = 3", "is no table"),
    "no list of models": ("[tool.normfix]\nmodels = 3", "must be an array of tables"),
}


@pytest.mark.parametrize("text, message", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(text: str, message: str, folder: Path) -> None:
    configure(folder, text)
    with pytest.raises(UsageError, match=message):
        lint(["."])


def test_a_broken_configuration_is_bad_input(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(folder, "[tool.normfix]\nselct = []")
    assert cli.main(["lint"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown key `selct`")


MEANINGS = {
    "nothing is configured": ("", ["b.py", "src/a.py"]),
    "it is about other tools": ("[tool.ruff]\nselect = ['normfix']", ["b.py", "src/a.py"]),
    "ignore": ("[tool.normfix]\nignore = ['uncalled-mode']", []),
    "select": ("[tool.normfix]\nselect = ['NF3']", []),
    "extend-select": ("[tool.normfix]\nselect = ['NF3']\nextend-select = ['NF403']", ["b.py", "src/a.py"]),
    "per-file-ignores by name": ("[tool.normfix.per-file-ignores]\n'a.py' = ['NF4']", ["b.py"]),
    "per-file-ignores by path": ("[tool.normfix.per-file-ignores]\n'src/*' = ['NF4']", ["b.py"]),
    "per-file-ignores of other rules": ("[tool.normfix.per-file-ignores]\n'src/*' = ['NF3']", ["b.py", "src/a.py"]),
    "per-file-ignores for all but": ("[tool.normfix.per-file-ignores]\n'!src/*' = ['NF4']", ["src/a.py"]),
    "exclude a name": ("[tool.normfix]\nexclude = ['src']", ["b.py"]),
    "exclude a path": ("[tool.normfix]\nextend-exclude = ['src/a*']", ["b.py"]),
    "exclude every file": ("[tool.normfix]\nexclude = ['*.py']", []),
}


@pytest.mark.parametrize("text, expected", MEANINGS.values(), ids=MEANINGS)
def test_meaning(text: str, expected: list[str], folder: Path) -> None:
    configure(folder, text)
    assert paths(lint(["."])) == expected


def test_the_command_line_selects_anew(folder: Path) -> None:
    configure(folder, "[tool.normfix]\nignore = ['NF403']\nselect = ['NF3']")
    assert paths(lint(["."], select=["NF403"])) == ["b.py", "src/a.py"]
    assert paths(lint(["."], extend_select=["NF403"])) == [], "both say something about NF403: to ignore it wins"


def test_the_nearest_file_counts_alone(folder: Path) -> None:
    configure(folder, "[tool.normfix]\nignore = ['NF403']")
    configure(folder / "src", "[tool.normfix]\nignore = ['NF301']")
    assert paths(lint(["."])) == ["src/a.py"]


def test_a_nearer_file_about_other_tools_does_not_count(folder: Path) -> None:
    configure(folder, "[tool.normfix]\nignore = ['NF403']")
    configure(folder / "src", "[tool.ruff]\n")
    assert paths(lint(["."])) == []


def test_a_named_file_replaces_the_nearest(folder: Path) -> None:
    configure(folder, "[tool.normfix]\nignore = ['NF403']")
    (folder / "strict.toml").write_text("select = ['NF403']\n")
    assert paths(lint(["."], config="strict.toml")) == ["b.py", "src/a.py"]
    with pytest.raises(UsageError, match=r"cannot read the configuration `.*gone.toml`: No such file"):
        lint(["."], config="gone.toml")


def test_a_text_without_a_place_has_no_configuration(folder: Path) -> None:
    configure(folder, "[tool.normfix]\nignore = ['NF403']")
    assert len(lint_source(MISUSE).findings) == 1
    assert lint_source(MISUSE, "src/new.py").findings == []


def test_fail_on_is_configured(folder: Path) -> None:
    configure(folder, "[tool.normfix]\nfail-on = 'info'\nselect = ['NF107']")
    (folder / "b.py").write_text("from torch import nn\nnorm = nn.RMSNorm(8)\n")
    assert cli.main(["lint", "b.py"]) == 1
    assert cli.main(["lint", "b.py", "--fail-on", "warning"]) == 0


SPELLINGS = [
    "[tool.normfix]\nignore = ['NF403']",
    '[ tool . "normfix" ]\nignore = ["NF403"]',
    "['tool'.normfix]\nignore = ['NF403']",
    "tool.normfix.ignore = ['NF403']",
    "tool = {normfix = {ignore = ['NF403']}}",
    "[tool]\nnormfix.ignore = ['NF403']",
    "[project]\nname = 'x'\n[tool]\nnormfix = {ignore = ['NF403']}",
    "[tool.normfix.per-file-ignores]\n'*' = ['NF403']",
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_every_spelling_of_the_table_is_seen(text: str, folder: Path) -> None:
    configure(folder, text)
    assert paths(lint(["."])) == []
