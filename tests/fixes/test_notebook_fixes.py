"""Notebooks are fixed in place: outputs, metadata and formatting byte for byte."""

import json
from pathlib import Path
from typing import Any

import pytest

from normfix import fixes
from normfix.fixes import Refused
from normfix.fixes.notebook import Notebook
from normfix.linting.run import lint_source

CODE = [
    "%matplotlib inline\n",
    "import torch.nn as nn  # größe\n",
    "!pip install x\n",
    "net = nn.Sequential(\n",
    "    nn.Conv2d(3, 8, 3),\n",
    "    nn.BatchNorm2d(8),\n",
    ")\n",
    "net.eval\n",
    "x = 1",
]
FIXED = [*CODE[:4], "    nn.Conv2d(3, 8, 3, bias=False),\n", *CODE[5:7], "net.eval()\n", "x = 1"]


def notebook(source: object, **rest: Any) -> dict[str, Any]:
    cell = {"cell_type": "code", "execution_count": 3, "metadata": {"a": "ü"}, "outputs": [{"text": ["1\n"]}]}
    return {
        "cells": [{"cell_type": "markdown", "metadata": {}, "source": ["# net.eval\n"]}, cell | {"source": source}],
        "metadata": {"kernelspec": {"language": "python", "name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
        **rest,
    }


def fixed(path: Path, data: bytes) -> bytes:
    path.write_bytes(data)
    report = lint_source(data.decode("utf-8-sig"), str(path))
    report.sources.clear()
    outcome = fixes.apply(report, lint_source, unsafe=True)
    assert not outcome.failed, outcome.report.errors
    return path.read_bytes()


@pytest.mark.parametrize(
    "style",
    [
        pytest.param({"indent": 1, "ensure_ascii": False}, id="as Jupyter writes it"),
        pytest.param({"indent": 4}, id="escaped"),
        pytest.param({"separators": (",", ":")}, id="on one line"),
        pytest.param({"indent": "\t", "sort_keys": True}, id="tabs"),
    ],
)
@pytest.mark.parametrize("listed", [True, False], ids=["list of lines", "one string"])
def test_only_the_changed_lines_differ(tmp_path: Path, style: dict[str, Any], listed: bool) -> None:
    old = json.dumps(notebook(CODE if listed else "".join(CODE)), **style) + "\n\n"
    new = json.dumps(notebook(FIXED if listed else "".join(FIXED)), **style) + "\n\n"
    assert fixed(tmp_path / "a.ipynb", old.encode()) == new.encode()


def test_newlines_and_byte_order_mark_stay(tmp_path: Path) -> None:
    old = json.dumps(notebook(CODE), indent=2).replace("\n", "\r\n")
    new = json.dumps(notebook(FIXED), indent=2).replace("\n", "\r\n")
    bom = b"\xef\xbb\xbf"
    assert fixed(tmp_path / "a.ipynb", bom + old.encode()) == bom + new.encode()


def test_the_last_of_equal_keys_is_the_one_that_counts(tmp_path: Path) -> None:
    old = json.dumps(notebook(CODE)).replace('"cell_type": "code"', '"cell_type": "code", "source": ["other"]')
    new = json.dumps(notebook(FIXED)).replace('"cell_type": "code"', '"cell_type": "code", "source": ["other"]')
    assert fixed(tmp_path / "a.ipynb", old.encode()) == new.encode()


def test_a_cell_that_does_not_parse_does_not_spoil_the_others(tmp_path: Path) -> None:
    document = notebook(CODE)
    document["cells"].append(document["cells"][1] | {"source": ["%%bash\n", "ls ("]})
    new = json.dumps(document).replace(json.dumps(CODE), json.dumps(FIXED))
    assert fixed(tmp_path / "a.ipynb", json.dumps(document).encode()) == new.encode()


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"cells": 3}', b"\xff", b'{"worksheets": []}'])
def test_what_is_no_notebook_is_refused(data: bytes) -> None:
    with pytest.raises(Refused, match="notebook"):
        Notebook.of(data)


def test_a_cell_that_is_indented_as_a_whole_is_left_to_its_author(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    text = json.dumps(notebook("    net.eval\n    x = 1"))
    path.write_text(text)
    report = lint_source(text, str(path))
    report.sources.clear()
    outcome = fixes.apply(report, lint_source, unsafe=True)
    assert path.read_text() == text
    assert [reason for file in outcome.files for _, reason in file.left] == ["its cell is indented as a whole"]
