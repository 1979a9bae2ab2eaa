"""NF802 norm-in-plain-list: look-alikes first, then the misuse in its spellings."""

import textwrap

import pytest
from source_findings import fires, fixed, report, silent

from normfix.checks import nf802_norm_in_plain_list as rule
from normfix.findings import WrapExpression
from normfix.remedies import registered


def init(text: str, base: str = "nn.Module") -> str:
    body = textwrap.indent(textwrap.dedent(text), "        ")
    return f"class Net({base}):\n    def __init__(self, n=3):\n        super().__init__()\n{body}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(init("self.bns = nn.ModuleList([nn.BatchNorm2d(8) for _ in range(n)])"), id="a ModuleList"),
        pytest.param(init("self.bns = [nn.BatchNorm2d(8)] * 2\nself.m = nn.ModuleList(self.bns)"), id="listed again"),
        pytest.param(init("layers = [nn.BatchNorm2d(8)]\nself.net = nn.Sequential(*layers)"), id="unpacked"),
        pytest.param(
            init("layers = [nn.Linear(8, 8), nn.BatchNorm1d(8)]\nself.x = layers\nself.net = nn.Sequential(*layers)"),
            id="kept beside a Sequential",
        ),
        pytest.param(
            init("self.bs = [nn.BatchNorm2d(8)] * 2\nfor i, b in enumerate(self.bs):\n    self.add_module(str(i), b)"),
            id="registered by name",
        ),
        pytest.param(
            init("self.bns = []\nfor i in range(n):\n    bn = nn.BatchNorm2d(8)\n    setattr(self, f'bn{i}', bn)\n"
                 "    self.bns.append(bn)"),
            id="setattr",
        ),
        pytest.param(init("self.a = nn.BatchNorm2d(8)\nself.all = [self.a]"), id="attributes listed again"),
        pytest.param(init("self.bns = [nn.BatchNorm2d(8), nn.BatchNorm2d(8)]", base="object"), id="no module"),
        pytest.param(init("self.bns = [nn.BatchNorm2d(8), nn.BatchNorm2d(8)]", base="Block"), id="an unknown base"),
        pytest.param(init("self.losses = [nn.MSELoss(), nn.L1Loss()]"), id="losses have no state"),
        pytest.param(init("self.acts = [nn.ReLU(), nn.Tanh()]"), id="activations have no state"),
        pytest.param(init("self.widths = [8, 16]"), id="numbers"),
        pytest.param(
            init("self.convs = [nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 1)]\nself.first = self.convs[n % 2]\n"
                 "self.second = self.convs[(n + 1) % 2]"),
            id="its parts are attributes too",
        ),
        pytest.param(
            init("self.pair = [nn.BatchNorm2d(8), nn.BatchNorm2d(8)]\nself.a, self.b = self.pair"), id="taken apart"
        ),
        pytest.param(init("self.kinds = [nn.BatchNorm2d, nn.GroupNorm]"), id="classes, not layers"),
        pytest.param(init("self.norms = norms"), id="a parameter"),
        pytest.param(init("self.hidden = [nn.Sequential(nn.Linear(8, 8))]"), id="one module hidden on purpose"),
        pytest.param("def make():\n    return [nn.BatchNorm2d(8), nn.ReLU()]", id="a function"),
        pytest.param(
            init("self.a = []\nself.a.extend([nn.Linear(8, 8), nn.BatchNorm1d(8)])\nself.net = nn.Sequential(*self.a)"),
            id="extended and unpacked",
        ),
        pytest.param(
            init("self.a = {}\nself.a['n'] = nn.LayerNorm(8)\nself.m = nn.ModuleDict(self.a)"), id="made a ModuleDict"
        ),
        pytest.param(init("self.a = nn.ModuleDict()\nself.a['n'] = nn.LayerNorm(8)"), id="a ModuleDict that grows"),
        pytest.param(init("self.a = {}\nself.a['n'] = nn.LayerNorm"), id="a class under a key"),
        pytest.param(init("self.a = dict(n=nn.ReLU())"), id="a dict of what has no state"),
    ],
)  # fmt: skip
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("self.bns = [nn.BatchNorm2d(8), nn.BatchNorm2d(16)]  # here", id="a literal"),
        pytest.param("self.bns = [nn.BatchNorm2d(8)]  # here", id="one norm"),
        pytest.param("self.bns = [nn.BatchNorm2d(8) for _ in range(n)]  # here", id="a comprehension"),
        pytest.param(
            "self.bns = []  # here\nfor i in range(n):\n    self.bns.append(nn.BatchNorm2d(8))", id="appended"
        ),
        pytest.param("self.bns = [nn.BatchNorm2d(8)] * n  # here", id="repeated"),
        pytest.param("self.ls = [  # here\n    nn.Linear(8, 8, bias=False),\n]*2", id="on a line of its own"),
        pytest.param("self.ls = [  # here\n    # One.\n    nn.Linear(8, 8, bias=False),\n] * 2", id="under a comment"),
        pytest.param("self.ls = [make(k=1), nn.Linear(8, 8)]  # here", id="after a call with a keyword"),
        pytest.param("self.bns = {'a': nn.LayerNorm(8), 'b': nn.LayerNorm(8)}  # here", id="a dict"),
        pytest.param("self.bns = {i: nn.BatchNorm2d(8) for i in range(n)}  # here", id="a dict comprehension"),
        pytest.param("self.ls: list = [nn.Linear(8, 8), nn.Linear(8, 8)]  # here", id="annotated"),
        pytest.param(
            "layers = []\nfor i in range(n):\n    layers.append(nn.BatchNorm1d(8))\nself.layers = layers  # here",
            id="a local list",
        ),
        pytest.param(
            "self.b = [nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)) for _ in range(n)]  # here",
            id="blocks",
        ),
        pytest.param("self.drops = [nn.Dropout(p) for p in (0.1, 0.2)]  # here", id="dropouts"),
        pytest.param("self.a = []  # here\nself.a.extend([nn.Linear(8, 8), nn.BatchNorm1d(8)])", id="extend"),
        pytest.param("self.a = [nn.ReLU()]  # here\nself.a += [nn.BatchNorm1d(8)]", id="+="),
        pytest.param("self.a = []  # here\nself.a.insert(0, nn.LayerNorm(8))", id="insert"),
        pytest.param("self.a = {}  # here\nself.a['n'] = nn.LayerNorm(8)", id="stored under a key"),
        pytest.param("self.a = {}  # here\nself.a.update({'n': nn.LayerNorm(8)})", id="update"),
        pytest.param("self.a = {}  # here\nself.a.setdefault('n', nn.Linear(8, 8))", id="setdefault"),
        pytest.param("self.a = dict(n=nn.LayerNorm(8))  # here", id="a call of dict"),
        pytest.param("self.a = list(nn.LayerNorm(8) for _ in range(n))  # here", id="a call of list"),
    ],
)
def test_found(text: str) -> None:
    fires(rule, init(text), "error")


def test_blocks_of_a_class_of_this_file() -> None:
    block = "class Block(nn.Module):\n  def __init__(self):\n    super().__init__()\n    self.bn = nn.BatchNorm2d(8)\n"
    fires(rule, block + init("self.blocks = [Block() for _ in range(n)]  # here"), "error")


def test_the_remedy_wraps_the_container() -> None:
    (finding,) = report(rule, init("self.bns = {'a': nn.LayerNorm(8), 'b': nn.LayerNorm(8)}")).findings
    assert isinstance(finding.remedy, WrapExpression)
    assert finding.remedy.before == "nn.ModuleDict("


TWO = "self.ls = [nn.BatchNorm2d(8), nn.BatchNorm2d(8)]"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("self.ls = [lambda x: x, nn.BatchNorm2d(8)]", id="no module in between"),
        pytest.param("self.ls = [conv, nn.BatchNorm2d(8)]", id="something that is not in sight"),
        pytest.param("self.ls = [nn.BatchNorm2d(8), nn.BatchNorm2d(8)] + rest", id="another list"),
        pytest.param("self.ls = {'a.b': nn.BatchNorm2d(8)}", id="a dot in a key"),
        pytest.param("self.ls = {0: nn.BatchNorm2d(8)}", id="a key that is no text"),
        pytest.param("self.ls = {'type': nn.BatchNorm2d(8)}", id="a key that a ModuleDict has as an attribute"),
        pytest.param("self.ls = {i: nn.BatchNorm2d(8) for i in names}", id="keys that are not in sight"),
        pytest.param("self.ls = {'a': nn.BatchNorm2d(8)}\nx = self.ls.get('b')", id="a method of dicts alone"),
        pytest.param(f"{TWO}\nx = [1] + self.ls", id="joined to a list"),
        pytest.param(f"{TWO}\nx = self.ls == []", id="compared"),
        pytest.param(f"{TWO}\nself.ls.sort()", id="a method of lists alone"),
        pytest.param(f"{TWO}\nself.ls[0] = x", id="an item that is not in sight is set"),
        pytest.param("self.ls = []\nself.ls.append(nn.BatchNorm2d(8))\nself.ls.append(x)", id="anything is appended"),
        pytest.param("self.ls = []\nself.ls.append (nn.GRU (8))\nself.ls.append (x)", id="a blank before each bracket"),
        pytest.param("ls = [nn.BatchNorm2d(8)]\nself.ls = ls\nls.append(nn.BatchNorm2d(8))", id="filled afterwards"),
        pytest.param("ls = [nn.BatchNorm2d(8)]\nself.ls = ls\nreturn ls", id="the local list goes elsewhere"),
    ],
)
def test_found_and_left_to_its_author(text: str) -> None:
    assert fixed(rule, init(text)) == init(text) and report(rule, init(text)).findings


def test_a_container_that_stands_before_a_module_can_be_an_attribute_is_left_to_its_author() -> None:
    text = f"class Net(nn.Module):\n    def __init__(self):\n        {TWO}\n        super().__init__()\n"
    assert fixed(rule, text) == text and report(rule, text).findings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            f"{TWO}\nfor l in self.ls: x = self.ls[0](l)\nn = len(self.ls)",
            f"{TWO.replace('[', 'nn.ModuleList([').replace(']', '])')}\n"
            "for l in self.ls: x = self.ls[0](l)\nn = len(self.ls)",
            id="read as both are read",
        ),
        pytest.param(
            "self.ls = [None, nn.BatchNorm2d(8)] * n",
            "self.ls = nn.ModuleList([None, nn.BatchNorm2d(8)] * n)",
            id="None",
        ),
        pytest.param(
            "ls = []\nfor i in n: ls.append(nn.BatchNorm2d(8))\nself.ls = ls",
            "ls = []\nfor i in n: ls.append(nn.BatchNorm2d(8))\nself.ls = nn.ModuleList(ls)",
            id="a local list",
        ),
        pytest.param(
            "self.ls = {'a': nn.BatchNorm2d(8)}\nfor k, v in self.ls.items(): ...\ny = 'a' in self.ls",
            "self.ls = nn.ModuleDict({'a': nn.BatchNorm2d(8)})\nfor k, v in self.ls.items(): ...\ny = 'a' in self.ls",
            id="a dict",
        ),
    ],
)
def test_the_container_is_registered(text: str, expected: str) -> None:
    assert fixed(rule, init(text)) == init(expected)


def test_reserved_keys_are_those_that_torch_refuses() -> None:
    nn = pytest.importorskip("torch").nn
    public = {name for name in dir(nn.ModuleDict()) if not name.startswith("_")}
    assert public <= registered.RESERVED
