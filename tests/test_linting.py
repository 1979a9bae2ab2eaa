"""Files of every sort are linted or named as unreadable; the run goes on."""

import codecs
import json
from pathlib import Path

import pytest

import normfix
from normfix.findings import Report

BODY = "import torch\ndef f(modèle: torch.nn.Module):\n    modèle.eval\n"


def found(report: Report) -> list[tuple[str, int | None, int | None]]:
    return [(finding.code, finding.line, finding.column) for finding in report.findings]


UNREADABLE = {
    "syntax error": (b"x = (\n", "never closed"),
    "null byte": (b"x = 1\0\n", "null byte"),
    "unknown encoding": (b"# coding: klingon\n", "unknown encoding"),
    "not in its encoding": (b"x = '\xff'\n", "byte 0xff on line 1 is not valid utf-8"),
    "BOM against the comment": (codecs.BOM_UTF8 + b"# coding: latin-1\n", "encoding problem"),
    "nested too deeply": (b"(" * 5000 + b")" * 5000, "too many nested parentheses"),
    "Python 2": (b"print 'hello'\n", "parentheses"),
    "UTF-16": ("x = 1\n".encode("utf-16"), "is not valid utf-8"),
}


@pytest.mark.parametrize("data, reason", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_file_is_its_own_finding(data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_bytes(data)
    (tmp_path / "good.py").write_text(BODY, encoding="utf-8")
    report = normfix.lint([str(tmp_path / "bad.py"), str(tmp_path / "good.py")])
    assert [(Path(finding.path).name, finding.code) for finding in report.findings] == [
        ("bad.py", "NF902"),
        ("good.py", "NF403"),
    ]
    assert reason in report.findings[0].message
    assert report.errors == []


def test_a_directory_that_cannot_be_read_as_a_file(tmp_path: Path) -> None:
    link = tmp_path / "gone.py"
    link.symlink_to(tmp_path / "nowhere")
    (tmp_path / "good.py").write_text("")
    report = normfix.lint([str(tmp_path)])
    assert [(finding.code, finding.path) for finding in report.findings] == [("NF902", str(link))]
    assert "cannot be opened" in report.findings[0].message


READABLE = {
    "UTF-8": BODY.encode(),
    "UTF-8 with BOM": codecs.BOM_UTF8 + BODY.encode(),
    "CRLF": BODY.replace("\n", "\r\n").encode(),
    "CR": BODY.replace("\n", "\r").encode(),
    "form feed": BODY.replace("def", "\fdef").encode(),
    "no newline at the end": BODY.rstrip().encode(),
}


@pytest.mark.parametrize("data", READABLE.values(), ids=READABLE)
def test_columns_count_characters(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(data)
    assert found(normfix.lint([str(tmp_path / "a.py")])) == [("NF403", 3, 5)]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8", "iso-8859-15", "mac-roman"])
def test_declared_encodings(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(f"# -*- coding: {encoding} -*-\n{BODY}".encode(encoding))
    report = normfix.lint([str(tmp_path / "a.py")])
    assert found(report) == [("NF403", 4, 5)]
    assert "modèle.eval" in report.findings[0].message


def test_no_files_are_no_findings() -> None:
    assert normfix.lint([]).findings == []


def test_a_string_is_no_list_of_paths() -> None:
    with pytest.raises(normfix.UsageError, match=r"lint\(\['src'\]\)"):
        normfix.lint("src")


def test_a_path_object_names_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("import torch\ndef f(model: torch.nn.Module):\n    model.eval\n")
    assert [(one.code, one.path) for one in normfix.lint([path], cache=False).findings] == [("NF403", str(path))]
    with pytest.raises(normfix.UsageError, match="`paths` is a list"):
        normfix.lint(path)  # type: ignore[arg-type]


def test_a_file_named_twice_is_linted_once(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(BODY, encoding="utf-8")
    report = normfix.lint([str(path), str(tmp_path), str(tmp_path / "." / "a.py")])
    assert found(report) == [("NF403", 3, 5)]


def test_lint_source_keeps_the_text_for_code_frames() -> None:
    report = normfix.lint_source(BODY, "editor.py")
    assert found(report) == [("NF403", 3, 5)]
    assert report.sources == {"editor.py": BODY}


def test_a_crash_in_a_check_costs_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from normfix.readers import source

    graphs = source.graphs

    def fragile(script: object, whole: bool) -> object:
        if "bad.py" in script.path:  # type: ignore[attr-defined]
            raise KeyError("width")
        return graphs(script, whole)  # type: ignore[arg-type]

    monkeypatch.setattr(source, "graphs", fragile)
    (tmp_path / "bad.py").write_text("from torch.nn import LayerNorm\n")
    (tmp_path / "good.py").write_text(BODY, encoding="utf-8")
    report = normfix.lint([str(tmp_path)])
    assert found(report) == [("NF403", 3, 5)]
    [failure] = report.errors
    assert failure.path == str(tmp_path / "bad.py")
    assert "KeyError: 'width' (test_linting.py:" in failure.reason


def test_notebooks_are_found_and_linted(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "code", "source": ["import torch\n", "model.eval\n", "model(x)"], "metadata": {}, "outputs": []}
    ]
    notebook = {"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook))
    [finding] = normfix.lint([str(tmp_path)]).findings
    assert (finding.code, finding.cell, finding.line) == ("NF403", 1, 2)
