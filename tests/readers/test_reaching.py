"""What is not followed: definitions that lead to no norm, files beside that hold none that matters."""

from pathlib import Path

import pytest

from normfix.readers import scripts
from normfix.readers.naming import names_norm, says_norm
from normfix.readers.reaching import Reach, definitions
from normfix.readers.siblings import Siblings, imported
from normfix.script import Script

HEAD = "import torch\nfrom torch import nn\nfrom torch.nn import BatchNorm2d as BN\nfrom .blocks import Block, normed\n"


def read(body: str, path: str = "m.py") -> set[str]:
    """The names of the definitions whose graphs are built."""
    script = Siblings().attach(scripts.read(HEAD + body, path))
    return worth_reading(script)


def worth_reading(script: Script) -> set[str]:
    found = definitions(script)
    reach = Reach(script, found)
    leading = reach.leading(found, found)
    return {node.name for node in leading | reach.sharing(leading)}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("isinstance(m, (nn.LayerNorm, nn.BatchNorm2d))", id="a question"),
        pytest.param("'BatchNorm' in type(m).__name__ or \"LayerNorm2d\"\n not in name", id="a word in a name"),
        pytest.param("name.find('BatchNorm') != -1 and name.startswith(\"LayerNorm\")", id="a word that is looked for"),
        pytest.param("self.norm = MyLayerNorm(8)", id="a class of its own"),
        pytest.param("self.layer_norm(x) + config.layer_norm_eps", id="an attribute"),
        pytest.param("F.normalize(kaiming_normal_(x)).norm()", id="another norm"),
    ],
)
def test_what_names_no_norm(text: str) -> None:
    assert not names_norm(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("nn.LazyBatchNorm3d()", id="lazy"),
        pytest.param("timm.layers.LayerNorm2dFp32(8)", id="timm"),
        pytest.param("F.layer_norm(x, (8,))", id="functional"),
        pytest.param("getattr(nn, f'{kind}Norm2d')", id="the end of a name"),
        pytest.param("getattr(nn, f'BatchNorm{rank}d')", id="the beginning of a name"),
        pytest.param("isinstance(m, nn.Conv2d) and nn.GroupNorm(4, 8)", id="beside a question"),
        pytest.param("'BatchNorm' in name and nn.BatchNorm2d(8)", id="a word, and the norm"),
        pytest.param("[nn.BatchNorm2d(8) for n in names if n in 'BatchNorm']", id="a norm in front of a question"),
        pytest.param("NORMS['BatchNorm'](8), getattr(nn, 'LayerNorm')", id="looked up by its name"),
        pytest.param("kind = 'LayerNorm'\nin_features = 8", id="a word ahead of another"),
        pytest.param("for kind in 'BatchNorm', 'LayerNorm': pass", id="words of a loop"),
    ],
)
def test_what_names_one(text: str) -> None:
    assert names_norm(text)


@pytest.mark.parametrize(
    "text", ["normal_(x)", "F.normalize(x)", "Normal(0, 1)", "NORMALIZE", "abnormal", "BNode", "subnet"]
)
def test_what_says_nothing_of_norms(text: str) -> None:
    assert not says_norm(text)


@pytest.mark.parametrize(
    "text", ["layernorm", "norm_layer", "MyNorm(8)", "USE_NORM", "make_bn", "self.bn1", "ConvBNReLU", "ConvBn"]
)
def test_what_says_something(text: str) -> None:
    assert says_norm(f"normalize {text}")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param("class A:\n  x = nn.Conv2d\n", set(), id="no norm"),
        pytest.param("class A:\n  x = BN(8)\n", {"A"}, id="under another name"),
        pytest.param(
            "class B:\n  x = BN(8)\nclass A:\n  y = B()\nclass C:\n  z = A()\n", {"A", "B"}, id="a part of a part"
        ),
        pytest.param(
            "def f():\n  return g()\ndef g():\n  return BN(8)\nclass A:\n  x = f()\n", {"A", "f", "g"}, id="calls"
        ),
        pytest.param("class B:\n  x = BN(8)\nclass A(B):\n  pass\n", {"A", "B"}, id="base class"),
        pytest.param("KINDS = {'b': BN}\nclass A:\n  x = KINDS['b'](8)\n", {"A"}, id="a table at the top level"),
        pytest.param(
            "class P:\n  x = nn.Conv2d(8, 8, 1)\nclass A:\n  y = P(), BN(8)\nclass C:\n  z = P()\n",
            {"A", "C", "P"},
            id="another use of a block that a norm follows",
        ),
    ],
)
def test_definitions_that_lead_to_a_norm(body: str, expected: set[str]) -> None:
    assert read(body) == expected


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("class A:\n  'As nn.LayerNorm does.'\n  x = nn.Conv2d\n", id="a docstring"),
        pytest.param("class A:\n  # not nn.LayerNorm\n  x = nn.Conv2d\n", id="a comment"),
        pytest.param(
            "class A:\n  'as B'\nclass B:\n  f(\"\")\n  'no nn.LayerNorm'\n", id="one of a block that another names"
        ),
    ],
)
def test_what_is_said_of_the_code_is_not_followed(body: str) -> None:
    assert read(body) == set()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("class A:\n  'A.'; x = nn.BatchNorm2d, 'é'\n", id="on the line of a docstring"),
        pytest.param("class A:\n  x = getattr(nn, 'BatchNorm2d')\n", id="a string with a purpose"),
        pytest.param("class A:\n  'A\n  é'; x = nn.BatchNorm2d\n".replace("'", '"""'), id="behind a docstring"),
    ],
)
def test_what_stands_beside_it_is(body: str) -> None:
    assert read(body) == {"A"}


def test_other_uses_matter_of_norms_that_take_a_bias_away() -> None:
    shared = "class P:\n  x = nn.Conv2d(8, 8, 1)\nclass C:\n  z = P()\nclass BatchNormLike:\n  z = 1\n"
    assert read(shared + "class A:\n  y = P(), nn.LayerNorm(8)\n") == {"A"}
    assert read(shared + "class A:\n  y = P(), getattr(nn, f'{kind}Norm2d')\n") == {"A", "C", "P"}


def test_objects_are_followed_one_deep() -> None:
    text = "from torch import nn\nclass B:\n  x = nn.LayerNorm(8)\nclass A:\n  y = B()\nclass C:\n  z = A()\n"
    assert worth_reading(scripts.read(text, "m.py")) == {"A", "B"}


def test_a_block_of_a_file_beside_matters_after_a_layer_with_a_bias(tmp_path: Path) -> None:
    (tmp_path / "blocks.py").write_text("from torch import nn\nclass Block:\n  x = nn.BatchNorm2d(8)\n")
    path = str(tmp_path / "m.py")
    assert read("class A:\n  x = nn.Conv2d(8, 8, 1), Block()\n", path) == {"A"}
    assert read("class A:\n  x = nn.ReLU(), Block()\n", path) == set()
    assert read("class A(Block):\n  x = nn.Conv2d(8, 8, 1)\n", path) == set()


def test_import_statements_are_read_off_the_text() -> None:
    text = "from . import a, b as c\nfrom .d import (\n  e,  # (not) f\n  g as h,\n)\nimport i.j as k, l\n"
    text += "from m import n, \\\n  o\n"
    assert dict(imported(text)) == {
        "a": ".a", "c": ".b", "e": ".d.e", "h": ".d.g", "k": "i.j", "l": "l", "n": "m.n", "o": "m.o"
    }  # fmt: skip


def test_import_statements_are_told_from_the_word() -> None:
    text = '"""We import (much:\nfrom here"""\nfrom .import_utils import a\nimport_all()  # import b\nfrom .import c\n'
    text += "x = importlib, reimport\nif x:\n\timport d; import e\n"
    assert dict(imported(text)) == {"a": ".import_utils.a", "c": ".c", "d": "d"}
