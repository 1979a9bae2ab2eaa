"""The index of one source: names, parents, spans, and what cannot be parsed."""

import ast
from itertools import pairwise

import pytest

from normfix.graph import Origin
from normfix.readers import scripts
from normfix.script import expression, walk


def resolve(text: str) -> str:
    """What the last expression of a source stands for."""
    script = scripts.read(text, "m.py")
    statement = script.tree.body[-1]
    while isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        statement = statement.body[-1]
    assert isinstance(statement, ast.Expr)
    return script.resolve(statement.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("self.bn", "self.bn", id="a name that was not imported stands for itself"),
        pytest.param("f().bn", "", id="the attribute of a call has no name"),
        pytest.param("from torch.nn import LayerNorm\nclass LayerNorm: pass\nLayerNorm", "LayerNorm", id="own class"),
        pytest.param(
            "class BatchNorm2d: pass\nfrom torch.nn import *\nBatchNorm2d", "BatchNorm2d", id="own under star"
        ),
        pytest.param("from other import *\nConv2d", "Conv2d", id="a star import of an unknown module tells nothing"),
        pytest.param("Norm = nn.BatchNorm2d\nNorm", "Norm", id="an alias of what was not imported"),
        pytest.param("from torch import nn\nN = nn.ReLU\nN = nn.GELU\nN", "N", id="a name assigned twice is no alias"),
        pytest.param("from .blocks import Block\nBlock", ".blocks.Block", id="relative import"),
        pytest.param("from .. import nn\nnn.ReLU", "..nn.ReLU", id="relative import of a module"),
        pytest.param("import torch\ntorch.nn.ReLU", "torch.nn.ReLU", id="import torch"),
        pytest.param("import torch.nn\ntorch.nn.ReLU", "torch.nn.ReLU", id="import torch.nn binds torch"),
        pytest.param("import torch.nn as nn\nnn.ReLU", "torch.nn.ReLU", id="import as"),
        pytest.param("from torch import nn as NN\nNN.ReLU", "torch.nn.ReLU", id="from import as"),
        pytest.param("from torch.nn import Conv2d as C\nC", "torch.nn.Conv2d", id="a class under another name"),
        pytest.param("from torch.nn import *\nGroupNorm", "torch.nn.GroupNorm", id="star import of torch.nn"),
        pytest.param("from torch.nn import *\nModule", "torch.nn.Module", id="star import brings Module"),
        pytest.param("import torch.nn.functional as F\nF.relu", "torch.nn.functional.relu", id="functional"),
        pytest.param("def f():\n  from torch import nn\n  nn.ReLU", "torch.nn.ReLU", id="an import inside a function"),
        pytest.param(
            "try:\n  from torch.nn import ReLU\nexcept ImportError:\n  from compat import ReLU\nReLU",
            "torch.nn.ReLU",
            id="of two imports the first counts",
        ),
        pytest.param("from torch import nn\nN = nn.BatchNorm2d\nN", "torch.nn.BatchNorm2d", id="alias by assignment"),
    ],
)
def test_names(text: str, expected: str) -> None:
    assert resolve(text) == expected


@pytest.mark.parametrize(
    ("text", "span"),
    [
        pytest.param("x = 1", (1, 5, 1, 6), id="ascii"),
        pytest.param("größe = 1", (1, 9, 1, 10), id="columns count characters, not bytes"),
        pytest.param("s = '😀'; x = 1", (1, 14, 1, 15), id="an emoji is one character"),
        pytest.param("é = 0\nx = 1", (2, 5, 2, 6), id="an ascii line in a file that is not"),
        pytest.param("é = 0\r\nß = 1", (2, 5, 2, 6), id="CRLF"),
        pytest.param("é = 0\rß = 1", (2, 5, 2, 6), id="a lone carriage return ends a line"),
        pytest.param("é = 0 #\x0c\nß = 1", (2, 5, 2, 6), id="a form feed does not"),
        pytest.param("\ufeffß = 1", (1, 5, 1, 6), id="a byte order mark has no column"),
    ],
)
def test_spans(text: str, span: tuple[int, int, int, int]) -> None:
    script = scripts.read(text, "m.py")
    assert script.origin_of(script.of_type(ast.Constant)[-1]) == Origin("m.py", *span)


def test_a_node_without_a_place_is_at_the_start_of_the_file() -> None:
    script = scripts.read("x = 1", "m.py")
    assert script.origin_of(script.tree) == Origin("m.py", 1, 1, 1, 1)


def test_nodes_come_in_the_order_of_the_source() -> None:
    script = scripts.read("a = b(c, d(e))\nif f:\n  g()\nelse:\n  h(k=i)\n", "m.py")
    columns = [(node.lineno, node.col_offset) for node in script.of_type(ast.Name)]
    assert columns == sorted(columns)
    assert len(columns) == 9


def test_every_node_but_the_root_has_its_parent() -> None:
    script = scripts.read("class A:\n  def f(self, x=1):\n    return [y + -x for y in self.z if y and x]\n", "m.py")
    assert set(walk(script.tree)) - {script.tree} == set(script.parents)
    assert all(child in ast.iter_child_nodes(parent) for child, parent in script.parents.items())


def test_statements_and_what_they_stand_in_are_those_of_the_whole_tree() -> None:
    text = "try:\n  a = [b for b in c]\nexcept D:\n  def e(f=lambda: g):\n    if h: pass\nelse:\n  with i: j()\n"
    script = scripts.read(text + "match k:\n  case l if m:\n    class N:\n      async def o(self): return p\n", "m.py")
    found = [one for kind, nodes in script.statements.items() if issubclass(kind, ast.stmt) for one in nodes]
    assert set(found) == {node for node in ast.walk(script.tree) if isinstance(node, ast.stmt)}
    assert all(script.parents[statement] is script.around[statement] for statement in found)


def test_a_sum_of_20_000_terms_is_walked() -> None:
    script = scripts.read("x = " + " + ".join(["1"] * 800), "m.py")
    assert len(script.of_type(ast.BinOp)) == 799
    deep = ast.parse("x = 1")
    assert isinstance(deep.body[0], ast.Assign)
    for _ in range(20_000):
        deep.body[0].value = ast.UnaryOp(ast.USub(), deep.body[0].value)
    walked = scripts.index(deep, "", "m.py", scripts.spans("", "m.py")).of_type(ast.UnaryOp)
    assert len(walked) == 20_000
    # Let go of the tower one floor at a time: the interpreter frees nested objects recursively.
    assert all(upper.operand is lower for upper, lower in pairwise(walked))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("(" * 3000 + ")" * 3000, id="nested too deeply"),
        pytest.param("x" + ".y" * 100_000, id="a chain too long"),
        pytest.param("-" * 100_000 + "1", id="a tower of signs"),
        pytest.param("x = 1\0", id="a null byte"),
        pytest.param("def f(:", id="a syntax error"),
    ],
)
def test_what_cannot_be_parsed_says_so(text: str) -> None:
    with pytest.raises((SyntaxError, ValueError)):
        scripts.read(text, "m.py")


def test_reading_code_does_not_warn(recwarn: pytest.WarningsRecorder) -> None:
    scripts.read(r"x = '\d' is 1", "m.py")
    assert not recwarn.list


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        pytest.param("first or\n        last", "first or last", id="over two lines"),
        pytest.param("width  # of the image", "width", id="a comment at the end"),
        pytest.param("*sizes", "*sizes", id="starred"),
        pytest.param("[a,\n b]", "[a, b]", id="a list over two lines"),
    ],
)
def test_arguments_are_read_on_their_own(text: str, meant: str) -> None:
    assert ast.unparse(expression(text)) == meant
