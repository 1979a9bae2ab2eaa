"""Notebooks: what is none, what is masked, and where findings are."""

import ast
import json

import pytest

import normfix
from normfix.readers import notebook


def made(*sources: object, **metadata: object) -> str:
    cells = [{"cell_type": "code", "source": one} if one is not None else {"cell_type": "markdown"} for one in sources]
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "no valid JSON", id="empty"),
        pytest.param("{", "no valid JSON", id="cut off"),
        pytest.param("[]", "no list of cells", id="a list"),
        pytest.param('{"cells": 3}', "no list of cells", id="cells is a number"),
        pytest.param('{"worksheets": []}', "format 3", id="an old format"),
        pytest.param('{"cells": [3]}', "cell 1", id="a cell is a number"),
        pytest.param('{"cells": [{"cell_type": "code", "source": 3}]}', "cell 1", id="the source is a number"),
        pytest.param('{"cells": ' * 5000, "nested too deeply|no valid JSON", id="nested deeply"),
        pytest.param(made("x = 1", "y = ("), "cell 2, line 1", id="a syntax error names its cell"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        notebook.read(text, "n.ipynb")


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("x = (a\n     % b)", id="a modulo at the start of a line in brackets"),
        pytest.param("x = a \\\n% b", id="a modulo on a continued line"),
        pytest.param("s = '''\n%matplotlib\n!ls\n'''", id="magics in a string"),
        pytest.param('s = """it\'s\n!ls\n"""', id="an apostrophe in a string"),
        pytest.param("x = 1  # what?", id="a question in a comment"),
        pytest.param("x != 1", id="not equal"),
        pytest.param("print('50 %')", id="a percent sign"),
        pytest.param("", id="nothing"),
    ],
)
def test_python_is_left_alone(source: str) -> None:
    assert notebook.mask(source) == source


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("%matplotlib inline", id="a line magic"),
        pytest.param("!pip install torch", id="a shell line"),
        pytest.param("!ls", id="a short shell line"),
        pytest.param("?torch", id="help before"),
        pytest.param("torch.nn??", id="help after"),
        pytest.param("files = !ls", id="an assigned shell line"),
        pytest.param("t = %timeit -o f()", id="an assigned magic"),
        pytest.param("if x:\n    !ls\ny = 1", id="a shell line is all of a block"),
        pytest.param("!pip install a \\\n  b\nx = 1", id="a shell line goes on"),
        pytest.param("%%bash\nfor f in *; do echo $f; done", id="a cell of another language"),
        pytest.param("\n%%html\n<b>", id="a cell magic after an empty line"),
        pytest.param("%%time\nx = 1", id="a timed cell"),
        pytest.param("%cd data\r\nx = 1\r\n", id="CRLF"),
    ],
)
def test_magics_are_masked_in_place(source: str) -> None:
    masked = notebook.mask(source)
    ast.parse(masked)
    assert len(masked) == len(source)
    assert [i for i, c in enumerate(masked) if c in "\r\n"] == [i for i, c in enumerate(source) if c in "\r\n"]


def test_a_timed_cell_is_read_and_a_shell_cell_is_not() -> None:
    assert "x = 1" in notebook.mask("%%time\nx = 1")
    assert not notebook.mask("%%bash\nx=1").strip()


def test_origins_name_the_cell_and_the_line_within_it() -> None:
    text = made("import torch\n", None, ["%matplotlib inline\n", "\n", "größe = torch.ones(3)"])
    script = notebook.read(text, "n.ipynb")
    origin = script.origin_of(script.of_type(ast.Call)[0])
    assert (origin.path, origin.cell, origin.line, origin.column, origin.end_column) == ("n.ipynb", 3, 3, 9, 22)
    assert script.resolve(script.of_type(ast.Call)[0].func) == "torch.ones"


def test_what_is_not_decided_is_named_by_cell_and_line() -> None:
    node = (
        "\nclass N(nn.Module):\n    def forward(self, x):\n        return nn.LayerNorm(8, elementwise_affine=self.a)(x)"
    )
    call = "def block(make, n):\n    return nn.Sequential(make(n), nn.BatchNorm2d(n))"
    text = made("from torch import nn\n", None, node, call)
    undecided = normfix.lint_source(text, "n.ipynb", select=["NF801", "NF202"]).undecided
    assert {(one.code, one.where) for one in undecided} == {
        ("NF801", "n.ipynb:cell 3:2"),
        ("NF202", "n.ipynb:cell 4:2"),
    }


def test_a_notebook_of_another_language_has_no_cells() -> None:
    assert notebook.cells(made("x <- 1", kernelspec={"language": "R"})) == []
    assert notebook.cells(made("x = 1", language_info={"name": "python"})) != []


def test_a_notebook_without_code_is_an_empty_script() -> None:
    assert notebook.read(made(None), "n.ipynb").tree.body == []


@pytest.mark.parametrize(
    ("source", "line", "column"),
    [
        pytest.param("    x = a.b", 1, 9, id="one statement"),
        pytest.param("\n    for i in y:\n        x = a.b\n", 3, 13, id="a loop after an empty line"),
        pytest.param("\tx = 1\n\ty = a.b", 2, 6, id="tabs"),
        pytest.param("    x = 1\ny = a.b", 2, 5, id="the rest is not indented"),
    ],
)
def test_a_cell_that_is_indented_as_a_whole_is_read_as_ipython_does(source: str, line: int, column: int) -> None:
    script = notebook.read(made("z = 1", source, "w = c.d"), "n.ipynb")
    first, second = script.of_type(ast.Attribute)
    origin, after = script.origin_of(first), script.origin_of(second)
    assert (origin.cell, origin.line, origin.column) == (2, line, column)
    assert (after.cell, after.line, after.column) == (3, 1, 5)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("x = 1\n    y = 2", id="only the second line"),
        pytest.param("    x = 1\n  y = 2", id="less later on"),
    ],
)
def test_other_indentation_is_an_error(source: str) -> None:
    with pytest.raises(ValueError, match="cell 1"):
        notebook.read(made(source), "n.ipynb")
