"""`normfix lint --fix` and its relatives: what is written, what is printed where, the exit code."""

import io
import json
import os
from pathlib import Path

import pytest

from normfix.cli import main

TEXT = (
    "import torch.nn as nn\n\n\nclass Net(nn.Sequential):\n    def __init__(self):\n"
    "        super().__init__(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))\n\n\nnet = Net()\nnet.eval\n"
)
SAFE = TEXT.replace("net.eval", "net.eval()")
UNSAFE = SAFE.replace("nn.Conv2d(3, 8, 3)", "nn.Conv2d(3, 8, 3, bias=False)")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(TEXT)
    return path


def test_without_an_option_nothing_is_written(file: Path) -> None:
    assert main(["lint", str(file)]) == 1
    assert file.read_text() == TEXT


def test_safe_fixes_leave_the_rest_to_be_reported(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--fix", "--output-format", "json", str(file)]) == 1
    assert file.read_text() == SAFE
    shown = capsys.readouterr()
    assert [finding["code"] for finding in json.loads(shown.out)["findings"]] == ["NF301"]
    assert f"Fixed 1 finding in 1 file:\n  {file}: NF403 x 1\n" in shown.err
    assert "1 more finding can be fixed with `--unsafe-fixes`" in shown.err


def test_unsafe_fixes_name_the_way_for_old_checkpoints(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--fix", "--unsafe-fixes", str(file)]) == 0
    assert file.read_text() == UNSAFE
    assert f"`normfix migrate CHECKPOINT --like {file}:MODEL -o NEW`" in capsys.readouterr().err


def test_a_notebook_is_no_model_that_a_checkpoint_is_carried_over_to(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "from torch import nn\nm = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))"
    cell = {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None}
    path = file.with_suffix(".ipynb")
    path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    assert main(["lint", str(path), "--unsafe-fixes"]) == 0
    assert "`normfix migrate CHECKPOINT --like FILE:MODEL -o NEW`" in capsys.readouterr().err


def test_a_second_run_has_nothing_to_fix(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["lint", "--unsafe-fixes", str(file)])
    capsys.readouterr()
    assert main(["lint", "--unsafe-fixes", str(file)]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(os.name == "nt", reason="such a name cannot be had on Windows")
def test_the_name_of_a_file_moves_no_cursor(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = file.rename(file.with_name("a\x1b[2J\nb.py"))
    assert main(["lint", str(odd), "--fix", "--fix-only"]) == 0
    assert f"  {file.parent}/a\\x1b[2J\\x0ab.py: NF403 x 1\n" in capsys.readouterr().err
    odd.write_text("x = (\n")
    assert main(["lint", str(odd), "--fix"]) == main(["baseline", "write", str(odd)]) == 2
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err and "a\\x1b[2J\\x0ab.py" in shown.err


def test_fix_only_reports_nothing_that_is_left(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--fix-only", str(file)]) == 0
    assert file.read_text() == SAFE
    assert capsys.readouterr().out == ""


def test_a_diff_writes_nothing_and_exits_with_1(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--diff", str(file)]) == 1
    assert file.read_text() == TEXT
    out = capsys.readouterr().out
    assert out.startswith(f"--- {file}\n+++ {file}\n@@") and out.endswith("-net.eval\n+net.eval()\n")


def test_an_empty_diff_exits_with_0(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(SAFE)
    assert main(["lint", "--diff", str(file)]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("option", ["--fix", "--fix-only"])
def test_a_file_that_cannot_be_written_exits_with_2(
    file: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.chmod(0o444)
    assert main(["lint", option, str(file)]) == 2
    assert file.read_text() == TEXT
    assert f"error: {file}: not fixed: it is read-only" in capsys.readouterr().err


def test_unsafe_fixes_are_not_recommended_to_who_asked_for_them(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.chmod(0o444)
    assert main(["lint", "--unsafe-fixes", str(file)]) == 2
    assert "--unsafe-fixes" not in capsys.readouterr().err


def test_what_was_fixed_is_not_listed_under_the_name_of_a_link(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file.parent / "a_link.py").symlink_to(file)
    assert main(["lint", "--no-cache", "--unsafe-fixes", str(file.parent)]) == 0
    assert file.read_text() == UNSAFE
    assert capsys.readouterr().out == "Nothing found\n"


def test_a_syntax_error_stays_a_finding_and_the_others_are_fixed(file: Path) -> None:
    broken = file.with_name("broken.py")
    broken.write_text(text := "import torch\nmodel.eval\ndef f(:\n")
    assert main(["lint", "--fix", "--select", "NF403,NF902", str(file.parent)]) == 1
    assert file.read_text() == SAFE and broken.read_text() == text


def test_selected_rules_alone_are_fixed(file: Path) -> None:
    assert main(["lint", "--unsafe-fixes", "--ignore", "NF301", str(file)]) == 0
    assert file.read_text() == SAFE


def test_a_suppressed_misuse_is_not_fixed(file: Path) -> None:
    text = TEXT.replace("net.eval\n", "net.eval  # noqa: NF403\n")
    file.write_text(text)
    assert main(["lint", "--fix", "--select", "NF403", str(file)]) == 0
    assert file.read_text() == text


def test_an_unused_suppression_is_removed(file: Path) -> None:
    file.write_text(SAFE.replace("net.eval()\n", "net.eval()  # why  # noqa: NF403\n"))
    main(["lint", "--fix", "--select", "NF403,NF901", str(file)])
    assert file.read_text() == SAFE.replace("net.eval()\n", "net.eval()  # why\n")


def test_a_link_into_another_folder_is_followed(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link.py").symlink_to(file)
    main(["lint", "--fix", str(folder / "link.py")])
    assert (folder / "link.py").is_symlink() and file.read_text() == SAFE


def from_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_standard_input_comes_out_fixed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from_stdin(monkeypatch, TEXT.encode())
    assert main(["lint", "--fix", "-"]) == 1
    shown = capsys.readouterr()
    assert shown.out == SAFE and "NF301" in shown.err


def test_standard_input_gives_a_diff(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from_stdin(monkeypatch, TEXT.encode())
    assert main(["lint", "--diff", "-", "--stdin-filename", "net.py"]) == 1
    assert capsys.readouterr().out.startswith("--- net.py\n+++ net.py\n")


def test_an_encoding_comment_does_not_spoil_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"# coding: latin-1\n# größe\n{TEXT}"
    from_stdin(monkeypatch, text.encode("latin-1"))
    assert main(["lint", "--fix-only", "-"]) == 0
    assert capsys.readouterr().out == text.replace("net.eval", "net.eval()")


def test_what_the_baseline_holds_is_not_fixed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    file.write_text(UNSAFE.replace("net.eval()", "net.eval"))
    assert main(["baseline", "write", "net.py"]) == 0
    [written] = [path for path in file.parent.iterdir() if path.name != "net.py"]
    file.write_text(TEXT)
    main(["lint", "--unsafe-fixes", "--baseline", written.name, "net.py"])
    assert file.read_text() == UNSAFE.replace("net.eval()", "net.eval")
