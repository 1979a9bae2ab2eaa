"""Code frames: the span is under the code it names, whatever the code holds."""

import json
from pathlib import Path

import pytest

from normfix.findings import Finding, Report, Severity
from normfix.graph import Origin, Site
from normfix.reports import Options, render


def finding(path: str = "a.py", line: int | None = 1, column: int = 1, end: int = 2, **more: object) -> Finding:
    known = {"line": line, "column": column, "end_line": line, "end_column": end, **more}
    return Finding("NF301", "bias-before-norm", Severity.WARNING, "`conv` has a bias", path, **known)  # type: ignore[arg-type]


def full(text: str, one: Finding, **options: bool) -> str:
    return render(Report([one], sources={one.path: text}), "full", Options(**options))


def test_a_frame() -> None:
    text = "import torch\n\n\nclass Net:\n\tconv = Conv2d(3, 8, 3)\n\tbn = BatchNorm2d(8)\n"
    one = finding(
        line=5, column=9, end=24, help="Pass `bias=False`", related=[("the norm", Site(Origin("a.py", 6, 7, 6, 21)))]
    )
    assert full(text, one) == (
        "warning[NF301] `conv` has a bias\n"
        " --> a.py:5:9\n"
        "  |\n"
        "3 |\n"
        "4 | class Net:\n"
        "5 |     conv = Conv2d(3, 8, 3)\n"
        "  |            ^^^^^^^^^^^^^^^\n"
        "6 |     bn = BatchNorm2d(8)\n"
        "7 |\n"
        "  |\n"
        "  = help: Pass `bias=False`\n"
        "  = note: the norm (a.py:6:7)\n"
        "\n"
        "Found 1 warning\n"
    )


CARETS = {
    "plain": ("abc = conv", 7, 11),
    "after a tab": ("\tconv", 2, 6),
    "after a wide character": ("'中文'; conv", 7, 11),
    "after a combining character": ("'e\u0301'; conv", 7, 11),
    "after an escape sequence": ("'\x1b[31m'; conv", 10, 14),
    "in the middle of a long line": ("x" * 500 + " conv " + "y" * 500, 502, 506),
    "at the end of a long line": ("x" * 500 + " conv", 502, 506),
}


@pytest.mark.parametrize("text, column, end", CARETS.values(), ids=CARETS)
def test_the_span_is_under_the_code(text: str, column: int, end: int) -> None:
    rows = full(text, finding(column=column, end=end)).splitlines()
    code, carets = rows[3], rows[4]
    assert carets.count("^") == 4
    assert len(code) <= 140
    wide = code.replace("中", "中 ").replace("文", "文 ").replace("\u0301", "")
    assert wide[carets.index("^") :].startswith("conv")


def test_a_span_of_several_lines_is_marked_on_its_first() -> None:
    rows = full("conv = Conv2d(\n    3,\n)\n", finding(column=8, end_line=3, end=2)).splitlines()
    assert rows[4] == "  |        ^^^^^^^"


@pytest.mark.parametrize("line", [None, 7], ids=["no place", "beyond the end of a file that was changed"])
def test_no_frame_without_its_code(line: int | None) -> None:
    assert "|" not in full("x\n", finding(line=line))


def test_a_file_that_is_gone_has_no_frame(tmp_path: Path) -> None:
    one = finding(str(tmp_path / "gone.py"))
    assert render(Report([one]), "full").startswith(f"warning[NF301] `conv` has a bias\n --> {one.path}:1:1\n\n")


def test_a_cell_of_a_notebook() -> None:
    cells = [{"cell_type": "markdown", "source": "# Title"}, {"cell_type": "code", "source": ["x = 1\n", "conv"]}]
    text = full(json.dumps({"cells": cells}), finding("a.ipynb", line=2, end=5, cell=2))
    assert " --> a.ipynb:cell 2:2:1\n" in text
    assert "2 | conv\n  | ^^^^\n" in text


def test_control_characters_do_not_reach_the_terminal() -> None:
    text = full("x = '\x1b]0;owned\x07'\n", finding("\x1b[2Jevil\n.py"))
    assert "\x1b" not in text
    assert "\\x1b[2Jevil\\x0a.py" in text


def test_colors_only_when_asked() -> None:
    assert "\x1b" not in full("conv\n", finding())
    assert "\x1b[1;33mwarning[NF301]\x1b[0m" in full("conv\n", finding(), color=True)
