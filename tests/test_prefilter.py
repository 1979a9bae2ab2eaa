"""The prefilter leaves out nothing that a page shows."""

import re
from pathlib import Path

import pytest

from normfix import lint, lint_source
from normfix.engine import rules
from normfix.linting.examine import Plan
from normfix.linting.prefilter import may_misuse

EVERYTHING = Plan(frozenset(rules()))

PAGES = sorted((Path(__file__).parents[1] / "rules").glob("*.md"))
BLOCKS = [
    pytest.param(block, id=f"{page.stem[:5]}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S))
    if re.search("# NF(?!902)", block)
]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("import os\n\n\ndef evaluate(train):\n    return os.environ\n", id="no networks"),
        pytest.param("import torch\n\nx = torch.load('x', weights_only=True)\n", id="tensors only"),
        pytest.param("import torch.nn.functional as F\n\ndef f(x):\n  return F.normalize(x)\n", id="normalize"),
        pytest.param("x = 1  # noqa: E501\n", id="another linter's suppression"),
    ],
)
def test_files_that_cannot_hold_a_misuse_are_left_alone(text: str) -> None:
    assert not may_misuse(text, EVERYTHING, "a.py", None)


NET = (
    "from torch import nn\n\nclass Net(nn.Module):\n    def __init__(self, n, layers=()):\n        super().__init__()\n"
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(NET + "        self.ls = nn.ModuleList([nn.Linear(8, 8)])\n", id="a registered list"),
        pytest.param(NET + "        self.net = nn.Sequential(*[nn.Linear(8, 8)] * n)\n", id="unpacked"),
        pytest.param(NET + "        ls = []\n        ls.append(nn.Linear(8, 8))\n        return ls\n", id="not kept"),
        pytest.param(
            NET + "        self.sizes = [f'nn.Linear(8)', (8, 16)]  # [nn.Linear(8)]\n", id="text and comments"
        ),
        pytest.param(
            "from torch import nn\nclass A:\n    def f(self):\n        self.x = [nn.GRU(8)]\n", id="no module"
        ),
        pytest.param(NET + "        self.drop = nn.Dropout()\n    def forward(self, x):\n        x\n", id="built once"),
        pytest.param(
            NET + "        self.d = self.f()\n    def f(self):\n        nn.Dropout()\n", id="a helper's, once"
        ),
        pytest.param("import torch.utils.checkpoint\nx = load_checkpoint('a')\n", id="an import that nothing calls"),
        pytest.param("import torch\nfor p, q in zip(a.parameters(), b.parameters()):\n    print(p)\n", id="only read"),
        pytest.param("from torch import onnx\ndef export(model):\n    onnx.is_in_onnx_export()\n", id="no export"),
        pytest.param("from torch.utils.data import DataLoader\ndl = DataLoader(data)\n", id="nothing is trained"),
        pytest.param("import torch\nattn_weights = torch.no_grad()\n", id="the end of a longer name"),
        pytest.param(NET + "        self.w = nn.Parameter(torch.zeros(8))\n", id="made-up parameters"),
        pytest.param(
            NET + "        self.a = nn.ModuleList()\n        for n in self.a: pass\n"
            "        self.a.append(nn.Linear(8, 8))\n        self.a.extend([nn.Linear(8, 8)])\n",
            id="a registered list that grows",
        ),
        pytest.param(
            NET + "        self.a = (\n            nn.Linear(8, 8) if layers[0] else nn.ReLU()\n        )\n",
            id="a part of a list is no list",
        ),
        pytest.param("import torch\nx = net(1)\nx.requires_grad = True\nx.backward()\n", id="a gradient is asked for"),
        pytest.param("import torch\nx = net(1)\nx.requires_grad_(grad)\nx.backward()\n", id="or not, as it is told"),
        pytest.param("import torch\nteach.requires_grad_(False)\nteach(x)\n", id="frozen where nothing is trained"),
        pytest.param(
            "import torch\nfor p, q in zip(a, self.sanitize_parameters()):\n    p.copy_(q.parameters())\n",
            id="no two lists of parameters",
        ),
        *(
            pytest.param(f"import torch\n{line}\ny = net(torch.zeros(1))\nreturn net\n", id=why)
            for line, why in (
                ("n: net = field()", "an annotation is no value"),
                ("def f(net=Net()): pass", "a default"),
                ("a.net = Net()", "an attribute"),
                ("x = f(1, net=Net())", "a keyword"),
            )
        ),
        pytest.param(
            "import torch\nclass LlamaRMSNorm(Base): pass\n\nclass A(nn.Module):\n  x = 2 ** n\n", id="another class"
        ),
    ],
)
def test_files_with_the_words_in_another_place_are_left_alone(text: str) -> None:
    assert not may_misuse(text, EVERYTHING, "a.py", None)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("self.ls = n * [nn.Linear(8, 8), nn.ReLU()]", id="repeated from the left"),
        pytest.param("self.ls = (\n            n * [nn.Linear(8, 8)]\n        )", id="on a line in brackets"),
        pytest.param("self.a, self.b = [nn.Linear(8, 8)], [nn.ReLU()]", id="two at once"),
        pytest.param("self.a = a = [nn.Linear(8, 8), nn.ReLU()]", id="two names"),
        pytest.param("a: list = [nn.Linear(8, 8)]\n        self.a = a; n = 1", id="a name, then another statement"),
        pytest.param(
            "a = []\n        a.append(  # one\n            nn.Linear(8, 8))\n        self.a = a", id="appended"
        ),
        pytest.param("self.a = {'[': nn.Linear(8, 8)}", id="a bracket in a text"),
        pytest.param("self.a = len(layers) * [nn.Linear(8, 8)]", id="behind a call"),
        pytest.param("self.a['b'] = nn.Linear(8, 8)", id="under a key"),
        pytest.param("self.a[ids[0]] = nn.Linear(8, 8)", id="under a key that is looked up"),
        pytest.param("self.a.extend([nn.Linear(8, 8)])", id="extended"),
        pytest.param("self.a.setdefault('b', nn.Linear(8, 8))", id="set where there is none"),
        pytest.param("self.a = base + \\\n            [nn.Linear(8, 8)]", id="a line continued"),
        pytest.param("self.a = (layers if n else[nn.Linear(8, 8)])", id="behind a word"),
        *(
            pytest.param(f"self.a = nn.ModuleList()\n        {line}\n        self.a.append(nn.Linear(8, 8))", id=why)
            for line, why in (
                ("self.a = []", "a list under the name of a registered one"),
                ("self.b, self.a = nn.ModuleList(), []", "the second of two"),
                ("self.a, self.b = [], nn.ModuleList()", "the first of two"),
                ("self.b = self.a = []", "two names, the second registered before"),
                ("self.a \\\n            = []", "the name on a line of its own"),
                ("self.a: list[\n            nn.Module] = []", "a type over lines"),
                ("if (self.a := []): pass", "given within a test"),
                ("for self.a in ([], []): pass", "given by a loop"),
                ("with n as self.a: pass", "given by a block"),
                ("self . a = []", "spaces within the name"),
            )
        ),
        pytest.param("self.a = n * {nn.Linear(8, 8)} | base", id="a set, more often"),
        pytest.param("self.a = base | {'b': nn.Linear(8, 8)}", id="two of them joined"),
        pytest.param("self.a = OrderedDict(b=nn.Linear(8, 8))", id="in order"),
        pytest.param("self.a = collections.OrderedDict([('b', nn.Linear(8, 8))])", id="in order, by a dotted name"),
        pytest.param("self.a = \\\n            c.OrderedDict(b=nn.Linear(8, 8))", id="in order, on the next line"),
        pytest.param("self.a = keep(a=OrderedDict(b=nn.Linear(8, 8)))", id="in order, among arguments"),
        pytest.param("self.a = [make_it(8, 8), nn.Linear (8, 8)]", id="spaces before brackets"),
    ],
)
def test_containers_of_layers_are_seen_however_they_are_laid_out(text: str) -> None:
    assert may_misuse(f"{NET}        {text}\n", EVERYTHING, "a.py", None)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("net = Net()", id="plain"),
        pytest.param("net: nn.Module = Net()", id="annotated"),
        pytest.param("if gpu: net = Net(8)", id="behind a test"),
        pytest.param("if f(a[1:2]): net = Net(8)", id="behind a test with a slice"),
        pytest.param("try: net = Net(8)\nfinally: pass", id="behind try"),
        pytest.param("n = 1; net = Net(n)", id="the second statement"),
        pytest.param("print('('); net = Net(n)", id="behind a bracket in a text"),
        pytest.param("if n == '(': net = Net(n)", id="behind a test for a bracket"),
        pytest.param("best = net = Net(n)", id="two names"),
        pytest.param("net, n = Net(), 3", id="the first of two"),
        pytest.param("n, net = 3, Net()", id="the second of two"),
        pytest.param("net = \\\n    Net()", id="a line continued"),
        pytest.param("print(net := Net())", id="given within a call"),
        pytest.param("def f(n: int): net = Net(n)", id="a function on one line"),
    ],
)
def test_networks_that_are_probed_are_seen_however_they_are_built(text: str) -> None:
    text = f"import torch\n{text}\ny = net(torch.zeros(1, 3))\nloss(net(x)).backward()\n"
    assert may_misuse(text, Plan(frozenset({"NF511"})), "a.py", None)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("from torch.nn import Linear as fc, Module as M\nclass A(M):\n    {}", id="every name is another"),
        pytest.param("import torch.nn as T\nfc = T.Linear\nclass A(T.Module):\n    {}", id="a name of the file"),
        pytest.param("from torch import nn\nfc = nn.Linear\nBase = nn.Module\nclass A(Base):\n    {}", id="a base too"),
        pytest.param(
            "import lightning\nclass fc(lightning.LightningModule):\n    dropout = 1\nclass A(fc):\n    {}", id="own"
        ),
    ],
)
def test_layers_are_seen_under_whatever_name_the_file_gives_them(text: str) -> None:
    body = "def __init__(self):\n        self.ls = [fc(8, 8), fc(8, 8)]\n"
    assert may_misuse(text.format(body), EVERYTHING, "a.py", None)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param("Drop = nn.Dropout", id="a name of the file"),
        pytest.param("Drop: object\nDrop\t=\tnn.Dropout if n else nn.Dropout1d", id="by choice"),
        pytest.param("from torch.nn import Dropout as Drop", id="imported"),
        pytest.param("x = 1\nDrop = torch.nn.Dropout2d  # (for images)", id="a comment behind it"),
    ],
)
def test_a_layer_that_the_forward_pass_builds_is_seen_under_another_name(head: str) -> None:
    body = "    def forward(self, x):\n        return Drop(0.5)(x)\n"
    assert may_misuse(NET.replace("class", f"{head}\nclass") + body, EVERYTHING, "a.py", None)


@pytest.mark.parametrize("quotes", ['"""', "'''"])
@pytest.mark.parametrize("code", ["def f(x): ...", "    def g(self): ..."])
def test_a_layer_that_the_forward_pass_builds_is_seen_below_code_in_a_text(code: str, quotes: str) -> None:
    body = f"    def forward(self, x):\n        {quotes}As in\n{code}\n{quotes}\n        return nn.Dropout(0.5)(x)\n"
    assert may_misuse(NET + body, EVERYTHING, "a.py", None)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("probe = make(8)\nprobe(torch.zeros(8))\nreturn probe", id="returned"),
        pytest.param("x: T = torch.zeros(8)\ny = x.to(d)\nnet = make(8)\nnet(\n  y)\nkeep(net)", id="by two names"),
        pytest.param("net: Net = make(8)\nnet(torch.randn (8))\nloss.backward()", id="annotated"),
        pytest.param("a, net = \\\n  make(8)\nnet(torch.ones(8))\nkeep(a, net)", id="one of two"),
    ],
)
def test_a_network_that_is_tried_out_is_seen(text: str) -> None:
    assert may_misuse(f"import torch\n{text}\n", EVERYTHING, "a.py", None)


def test_a_layer_that_a_helper_of_the_forward_pass_builds_is_seen() -> None:
    passes = "    def forward(self, x):\n        return self.drop(x)\n"
    helper = "    def drop(self, x):\n        return nn.Dropout(0.5)(x)\n"
    assert may_misuse(f"{NET}        self.n = n\n{passes}{helper}", EVERYTHING, "a.py", None)


def test_a_comment_may_be_useless_anywhere() -> None:
    assert [finding.code for finding in lint_source("x = 1  # noqa: NF301\n").findings] == ["NF901"]
    assert [finding.code for finding in lint_source("x = 1  # noqa: missing-eval\n").findings] == ["NF901"]


def test_syntax_errors_are_told_of_what_was_named(tmp_path: Path) -> None:
    assert [finding.code for finding in lint_source("x = (\n").findings] == ["NF902"]
    (tmp_path / "broken.py").write_text("x = (\n")
    assert [finding.code for finding in lint([str(tmp_path / "broken.py")]).findings] == ["NF902"]


def test_a_folder_is_not_parsed_for_files_that_cannot_hold_a_misuse(tmp_path: Path) -> None:
    (tmp_path / "template.py").write_text("{{ name }} = (\n")
    (tmp_path / "network.py").write_text("from torch import nn\n\nnorm = nn.LayerNorm(8\n")
    assert [Path(finding.path).name for finding in lint([str(tmp_path)]).findings] == ["network.py"]


@pytest.mark.parametrize("text", BLOCKS)
def test_what_pages_show_to_be_bad_is_looked_at(text: str) -> None:
    assert may_misuse(text, EVERYTHING, "a.py", None)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("items = [\n" + "    (1, 2.5, 'a', None),\n" * 2_000 + "]\n", id="a table without a call"),
        pytest.param("a = {'b': [c, {d: [" * 2_000, id="brackets that nobody closes"),
        pytest.param("from a import (b,\n" + "# note, note\n" * 2_000, id="an import that nobody closes"),
        pytest.param("checkpoint # " + "#" * 5_000 + " ." + "#" * 5_000, id="a rule of hashes"),
        pytest.param("x = '" + "a1" * 100_000 + "'\n", id="a long word"),
        pytest.param("momentum = " * 3_000, id="one long line of words"),
        pytest.param("isinstance(" * 5_000, id="calls that nobody closes"),
        pytest.param("x = " + " \\\n" * 5_000 + "1\n", id="a line continued for ever"),
        pytest.param("def f(" + "a, " * 5_000 + "):\n", id="many arguments"),
    ],
)
def test_no_text_is_searched_for_ever(text: str, tmp_path: Path) -> None:
    """Searches that step back multiply: on such texts they would not come back within a day."""
    words = "import torch, timm, lightning\nclass A(torch.nn.Module): norm = Conv2d, BatchNorm2d, Dropout\n"
    (tmp_path / "a.py").write_text(
        words + "from checkpoint import eval, train, no_grad, export, std, sqrt, append\n" + text
    )
    (tmp_path / "b.py").write_text("from a import A\n" + words)
    for code in rules():
        assert not lint([str(tmp_path)], select=[code], cache=False).errors
