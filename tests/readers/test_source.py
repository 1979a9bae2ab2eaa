"""What the source reader knows: layers with their arguments, and what feeds what."""

from pathlib import Path
from textwrap import dedent

import pytest
from reading import HEAD, edges, graph_of, graphs_of, net, redundant

from normfix.graph import LayerGraph, Undecided, exclusive, known
from normfix.readers.scripts import read
from normfix.readers.siblings import Siblings
from normfix.readers.source import graphs

CONV_BN = "self.conv = nn.Conv2d(3, 8, 3)\nself.bn = nn.BatchNorm2d(8)"
LISTS = (
    "self.convs = nn.ModuleList([nn.Conv2d(8, 8, 3) for _ in range(n)])\n"
    "self.bns = nn.ModuleList([nn.BatchNorm2d(8) for _ in range(n)])"
)

REDUNDANT = {
    "nested calls": (net(CONV_BN, "return F.relu(self.bn(self.conv(x)))"), {"self.conv"}),
    "successive assignments": (net(CONV_BN, "x = self.conv(x)\nx = self.bn(x)\nreturn F.relu(x)"), {"self.conv"}),
    "a keyword call": (net(CONV_BN, "return self.bn(input=self.conv(input=x))"), {"self.conv"}),
    "the call of forward itself": (net(CONV_BN, "return self.bn.forward(self.conv.forward(x))"), {"self.conv"}),
    "a sequential": (
        net("self.net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())", "return self.net(x)"),
        {"self.net[0]"},
    ),
    "a sequential in a sequential": (
        net("self.net = nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 3)), nn.BatchNorm2d(8))", "return self.net(x)"),
        {"self.net[0][0]"},
    ),
    "an OrderedDict": (
        "from collections import OrderedDict\n"
        + net(
            "self.net = nn.Sequential(OrderedDict([('conv', nn.Conv2d(3, 8, 3)), ('bn', nn.BatchNorm2d(8))]))",
            "return self.net(x)",
        ),
        {"self.net[0]"},
    ),
    "a list that is built": (
        net(
            "layers = []\nlayers.append(nn.Conv2d(3, 8, 3))\n"
            "layers.extend([nn.BatchNorm2d(8)])\nlayers += [nn.ReLU()]\n"
            "self.net = nn.Sequential(*layers)",
            "return self.net(x)",
        ),
        {"self.net[0]"},
    ),
    "a list that a loop builds": (
        net(
            "layers = []\nfor w in widths:\n    layers += [nn.Conv2d(w, w, 3), nn.BatchNorm2d(w)]\n"
            "self.net = nn.Sequential(*layers)",
            "return self.net(x)",
            ", widths",
        ),
        {"self.net[0]"},
    ),
    "a list that unrolled rounds build": (
        net(
            "layers = []\nfor i in range(3):\n    layers.append(nn.Conv2d(8, 8, 3))\n"
            "    layers.append(nn.BatchNorm2d(8))\n"
            "self.net = nn.Sequential(*layers)",
            "return self.net(x)",
        ),
        {"self.net[0]"},
    ),
    "add_module": (
        net(
            "self.net = nn.Sequential()\nself.net.add_module('c', nn.Conv2d(3, 8, 3))\n"
            "self.net.add_module('n', nn.BatchNorm2d(8))",
            "return self.net(x)",
        ),
        {"self.net[0]"},
    ),
    "add_module on the object": (
        net(
            "self.add_module('conv', nn.Conv2d(3, 8, 3))\nself.add_module('bn', nn.BatchNorm2d(8))",
            "return self.bn(self.conv(x))",
        ),
        {"self.conv"},
    ),
    "a subclass of Sequential": (
        """
        class Net(nn.Sequential):
            def __init__(self, i, o):
                super().__init__(nn.Conv2d(i, o, 3), nn.BatchNorm2d(o), nn.ReLU())
        """,
        {"self[0]"},
    ),
    "a subclass of Sequential that adds": (
        """
        class Net(nn.Sequential):
            def __init__(self, i, o):
                super().__init__()
                self.add_module("conv", nn.Conv2d(i, o, 3))
                self.add_module("norm", nn.BatchNorm2d(o))
        """,
        {"self.conv"},
    ),
    "two lists walked by index": (
        net(LISTS, "for i in range(self.n):\n    x = F.relu(self.bns[i](self.convs[i](x)))\nreturn x", ", n=3"),
        {"self.convs[0]"},
    ),
    "two lists zipped": (
        net(LISTS, "for conv, bn in zip(self.convs, self.bns):\n    x = F.relu(bn(conv(x)))\nreturn x", ", n=3"),
        {"self.convs[0]"},
    ),
    "one list that is walked": (
        net(
            "self.layers = nn.ModuleList([nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU()])",
            "for layer in self.layers:\n    x = layer(x)\nreturn x",
        ),
        {"self.layers[0]"},
    ),
    "a list that is grown and walked": (
        net(
            "self.layers = nn.ModuleList()\nfor _ in range(n):\n    self.layers.append(nn.Linear(8, 8))\n"
            "    self.layers.append(nn.BatchNorm1d(8))",
            "for layer in self.layers:\n    x = layer(x)\nreturn x",
            ", n=3",
        ),
        {"self.layers[0]"},
    ),
    "a ModuleDict": (
        net(
            "self.parts = nn.ModuleDict({'conv': nn.Conv2d(3, 8, 3), 'bn': nn.BatchNorm2d(8)})",
            "return self.parts['bn'](self.parts['conv'](x))",
        ),
        {"self.parts[0]"},
    ),
    "a layer first put in a variable": (
        net(
            "conv = nn.Conv2d(3, 8, 3)\nbn = nn.BatchNorm2d(8)\nself.net = nn.Sequential(conv, bn)",
            "return self.net(x)",
        ),
        {"self.net[0]"},
    ),
    "bias=True written out": (
        net("self.conv = nn.Conv2d(3, 8, 3, bias=True)\nself.bn = nn.BatchNorm2d(8)", "return self.bn(self.conv(x))"),
        {"self.conv"},
    ),
    "**options that hold device and dtype only": (
        net(
            "options = {'device': device, 'dtype': dtype}\nself.conv = nn.Conv2d(3, 8, 3, **options)\n"
            "self.bn = nn.BatchNorm2d(8, **options)",
            "return self.bn(self.conv(x))",
            ", device=None, dtype=None",
        ),
        {"self.conv"},
    ),
    "lazy layers": (
        net("self.conv = nn.LazyConv2d(8, 3)\nself.bn = nn.LazyBatchNorm2d()", "return self.bn(self.conv(x))"),
        {"self.conv"},
    ),
    "a method that makes a block": (
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = self.block(3, 8), self.block(8, 16)
            def block(self, i, o):
                return nn.Sequential(nn.Conv2d(i, o, 3), nn.BatchNorm2d(o))
            def forward(self, x):
                return self.b(self.a(x))
        """,
        {"self.a[0]"},
    ),
    "a local function that makes a block": (
        net(
            "def block(i, o):\n    return [nn.Linear(i, o), nn.BatchNorm1d(o)]\n"
            "self.net = nn.Sequential(*block(3, 8), *block(8, 8))",
            "return self.net(x)",
        ),
        {"self.net[0]"},
    ),
    "a lambda that makes a block": (
        net(
            "block = lambda i, o: nn.Sequential(nn.Linear(i, o), nn.BatchNorm1d(o))\nself.a = block(3, 8)",
            "return self.a(x)",
        ),
        {"self.a[0]"},
    ),
    "a partial": (
        "from functools import partial\n"
        + net(
            "norm = partial(nn.BatchNorm2d, eps=1e-3)\nself.conv = nn.Conv2d(3, 8, 3)\nself.bn = norm(8)",
            "return self.bn(self.conv(x))",
        ),
        {"self.conv"},
    ),
    "a partial at the top level": (
        "from functools import partial\nNORM = partial(nn.BatchNorm2d, eps=1e-3)\n"
        + net("self.conv = nn.Conv2d(3, 8, 3)\nself.bn = NORM(8)", "return self.bn(self.conv(x))"),
        {"self.conv"},
    ),
    "a class under an if": (
        "if torch.cuda.is_available():\n    class Net(nn.Sequential):\n        def __init__(self):\n"
        "            super().__init__(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))\n",
        {"self[0]"},
    ),
    "a class in a function": (
        "def build(width):\n    class Net(nn.Sequential):\n        def __init__(self):\n"
        "            super().__init__(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))\n    return Net()\n",
        {"self[0]"},
    ),
    "a class that a training script constructs": (
        net(CONV_BN, "return self.bn(self.conv(x))")
        + "def main():\n    model = nn.DataParallel(Net())\n    criterion = nn.CrossEntropyLoss()\n"
        "    train(model, criterion)\n    for x in loader:\n        model(x)\nmodel = Net()\nnorm = nn.Identity()\n",
        {"self.conv"},
    ),
    "a class that another holds and does not call": (
        "import copy\n"
        + net(CONV_BN, "return self.bn(self.conv(x))")
        + "class Trainer(nn.Module):\n    def __init__(self):\n        self.net, self.norm = Net(), nn.LayerNorm(3)\n"
        "        self.ema = copy.deepcopy(self.net)\n        self.other = wrap(Net())\n",
        {"self.conv"},
    ),
    "a helper method in forward": (
        net(CONV_BN, "return self.part(x)") + "    def part(self, x):\n        return self.bn(self.conv(x))\n",
        {"self.conv"},
    ),
    "a branch with a norm on either side": (
        net(
            CONV_BN + "\nself.conv2 = nn.Conv2d(3, 8, 3)\nself.bn2 = nn.BatchNorm2d(8)",
            "if self.flag:\n    x = self.bn(self.conv(x))\nelse:\n    x = self.bn2(self.conv2(x))\nreturn x",
        ),
        {"self.conv", "self.conv2"},
    ),
    "a tuple that is unpacked": (
        net(CONV_BN, "a, b = self.conv(x), x\na, b = self.bn(a), b\nreturn a + b"),
        {"self.conv"},
    ),
    "metadata that is looked at": (
        net(CONV_BN, "y = self.conv(x)\nn, c, h, w = y.shape\nassert y.size(1) == 8\nreturn self.bn(y).view(n, -1)"),
        {"self.conv"},
    ),
    "weights that are initialised": (
        net(
            CONV_BN + "\nnn.init.kaiming_normal_(self.conv.weight)\nfor m in self.modules():\n"
            "    if isinstance(m, nn.Conv2d):\n        nn.init.zeros_(m.bias)\nself.apply(initialise)",
            "return self.bn(self.conv(x))",
        ),
        {"self.conv"},
    ),
    "a base class in the file": (
        """
        class Base(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 8, 3)
        class Net(Base):
            def __init__(self):
                super().__init__()
                self.bn = nn.BatchNorm2d(8)
            def forward(self, x):
                return self.bn(self.conv(x))
        """,
        set(),
    ),
    "super().forward of a base class": (
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 8, 3)
                self.bn = nn.BatchNorm2d(8)
            def forward(self, x):
                return self.bn(self.conv(x))
        class Loud(Net):
            def forward(self, x):
                return super().forward(x) * 2
        """,
        {"self.conv"},
    ),
    "a function that builds a sequential": (
        "def block(i, o):\n    return nn.Sequential(nn.Conv2d(i, o, 3), nn.BatchNorm2d(o))\n",
        {"Sequential[0]"},
    ),
    "the top level": ("model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))\nmodel.eval()\n", {"model[0]"}),
    "a Lightning module": (
        """
        import lightning as L
        class Net(L.LightningModule):
            def __init__(self):
                super().__init__()
                self.net = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8))
            def training_step(self, batch, index):
                x, y = batch
                return F.cross_entropy(self.net(x), y)
        """,
        {"self.net[0]"},
    ),
    "a checkpointed call": (
        "from torch.utils.checkpoint import checkpoint\n"
        + net("self.net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))", "return checkpoint(self.net, x)"),
        {"self.net[0]"},
    ),
    "the head of another network": (
        net(
            "self.body = torch.hub.load(repo, name)\nself.body.fc = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8))",
            "return self.body(x)",
        ),
        {"self.body.fc[0]"},
    ),
    "a sequential inside an unknown wrapper": (
        net("self.net = Residual(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))", "return self.net(x)"),
        {"Sequential[0]"},
    ),
    "a norm that is set under the same condition that calls it": (
        net(
            "self.conv = nn.Conv2d(3, 8, 3)\nif use:\n    self.bn = nn.BatchNorm2d(8)\n"
            "else:\n    self.bn = nn.BatchNorm2d(8, eps=1e-3)",
            "return self.bn(self.conv(x))",
            ", use=True",
        ),
        set(),
    ),
    "spectral norm around it": (
        net(
            "self.conv = nn.utils.spectral_norm(nn.Conv2d(3, 8, 3))\nself.bn = nn.BatchNorm2d(8)",
            "return self.bn(self.conv(x))",
        ),
        {"self.conv"},
    ),
    "a ModuleDict that grows under keys": (
        net(
            "self.d = nn.ModuleDict()\nself.d['c'] = nn.Conv2d(3, 8, 3)\nself.d['n'] = nn.BatchNorm2d(8)",
            "return self.d['n'](self.d['c'](x))",
        ),
        {"self.d[0]"},
    ),
    "a ModuleDict of a call of dict": (
        net(
            "self.d = nn.ModuleDict(dict(c=nn.Conv2d(3, 8, 3), n=nn.BatchNorm2d(8)))",
            "return self.d['n'](self.d['c'](x))",
        ),
        {"self.d[0]"},
    ),
    "a ModuleList that grows by += and insert": (
        net(
            "self.l = nn.ModuleList()\nself.l += [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)]\nself.l.insert(0, nn.ReLU())",
            "for one in self.l:\n    x = one(x)\nreturn x",
        ),
        {"self.l[0]"},
    ),
    "a class that % and format name": (
        net(
            "self.c = nn.Conv2d(3, 8, 3)\nself.n = getattr(nn, 'BatchNorm%dd' % 2)(8)\n"
            "self.d = nn.Conv2d(3, 8, 3)\nself.m = getattr(nn, 'BatchNorm{}d'.format(2))(8)",
            "return self.m(self.d(self.n(self.c(x)).relu()))",
        ),
        {"self.c", "self.d"},
    ),
    "a class out of a table": (
        "def norm(width, kind='bn'):\n    return {'bn': nn.BatchNorm2d, 'in': nn.InstanceNorm2d}[kind](width)\n"
        + net("self.c = nn.Conv2d(3, 8, 3)\nself.n = norm(8)", "return self.n(self.c(x))"),
        {"self.c"},
    ),
    "norms that map builds": (
        net(
            "self.cs = nn.ModuleList(nn.Conv1d(a, b, 3) for a, b in zip(dims, dims[1:]))\n"
            "self.ns = nn.ModuleList(map(nn.BatchNorm1d, dims[1:]))",
            "for c, n in zip(self.cs, self.ns):\n    x = F.relu(n(c(x)))\nreturn x",
            ", dims",
        ),
        {"self.cs[0]"},
    ),
    "a generator that yields layers": (
        net("self.net = nn.Sequential(*self.layers(8))", "return self.net(x)")
        + "    @staticmethod\n    def layers(width):\n        yield nn.Conv2d(3, width, 3)\n"
        "        yield nn.BatchNorm2d(width)\n",
        {"self.net[0]"},
    ),
    "a class method that builds": (
        net("self.net = self.make(8)", "return self.net(x)") + "    @classmethod\n    def make(cls, width):\n"
        "        return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))\n",
        {"self.net[0]"},
    ),
    "a handler that raises": (
        net(CONV_BN, "try:\n    x = self.conv(x)\nexcept RuntimeError as error:\n    raise error\nreturn self.bn(x)"),
        {"self.conv"},
    ),
}


@pytest.mark.parametrize(("text", "names"), REDUNDANT.values(), ids=REDUNDANT)
def test_redundant_biases_are_known(text: str, names: set[str]) -> None:
    assert redundant(graphs_of(text)) == names


ALIASES = {
    "import torch.nn as nn": ("import torch.nn as nn", "nn.Conv2d", "nn.BatchNorm2d"),
    "import torch.nn as NN": ("import torch.nn as NN\nimport torch.nn as nn", "NN.Conv2d", "NN.BatchNorm2d"),
    "import torch": ("import torch\nfrom torch import nn", "torch.nn.Conv2d", "torch.nn.BatchNorm2d"),
    "from torch import nn": ("from torch import nn", "nn.Conv2d", "nn.BatchNorm2d"),
    "from torch.nn import X": (
        "from torch import nn\nfrom torch.nn import Conv2d, BatchNorm2d",
        "Conv2d",
        "BatchNorm2d",
    ),
    "from torch.nn import X as Y": (
        "from torch import nn\nfrom torch.nn import Conv2d as C, BatchNorm2d as B",
        "C",
        "B",
    ),
    "from torch.nn import *": ("from torch import nn\nfrom torch.nn import *", "Conv2d", "BatchNorm2d"),
    "nn = torch.nn": ("import torch\nnn = torch.nn", "nn.Conv2d", "nn.BatchNorm2d"),
    "Norm = nn.BatchNorm2d": ("from torch import nn\nNorm = nn.BatchNorm2d", "nn.Conv2d", "Norm"),
    "torch.nn.modules": (
        "from torch import nn\nfrom torch.nn.modules.batchnorm import BatchNorm2d",
        "nn.Conv2d",
        "BatchNorm2d",
    ),
    "inside try": ("try:\n    from torch import nn\nexcept ImportError:\n    raise", "nn.Conv2d", "nn.BatchNorm2d"),
}


@pytest.mark.parametrize(("head", "conv", "norm"), ALIASES.values(), ids=ALIASES)
def test_layers_are_recognised_however_they_are_imported(head: str, conv: str, norm: str) -> None:
    text = net(f"self.conv = {conv}(3, 8, 3)\nself.bn = {norm}(8)", "return self.bn(self.conv(x))")
    assert edges(graph_of(text, head=head + "\n")) == {("self.conv", "self.bn")}


@pytest.mark.parametrize("library", ["flax.linen", "mlx.nn", "paddle.nn", "tinygrad.nn", "mxnet.gluon.nn", ".layers"])
def test_the_nn_of_another_library_is_not_torch(library: str) -> None:
    package, _, last = library.rpartition(".")
    head = f"import torch\nfrom {package or '.'} import {last} as nn\n"
    graphs = graphs_of(net(CONV_BN, "return self.bn(self.conv(x))"), head)
    assert not any(layer.kind != "unknown" for graph in graphs for layer in graph.layers)


def _layer(init: str, signature: str = "", head: str = HEAD, extra: str = "") -> object:
    graph = graph_of(extra + net(init + "\nself.norm = nn.BatchNorm2d(1)", "return self.l(x)", signature), head=head)
    return next(layer for layer in graph.layers if layer.name == "self.l")


def test_arguments_carry_value_text_position_and_span() -> None:
    layer = _layer("self.l = nn.BatchNorm2d(8, 0.8, momentum = 0.1)")
    eps, momentum = layer.argument("eps"), layer.argument("momentum")
    assert (eps.value, eps.text, eps.position) == (0.8, "0.8", 1)
    assert (momentum.value, momentum.text, momentum.position) == (0.1, "0.1", None)
    assert layer.value("affine") is True
    assert (eps.origin.line, eps.origin.column, eps.origin.end_column) == (8, 36, 39)
    assert (layer.site.origin.column, layer.site.origin.end_column) == (18, 56)
    assert layer.owner == "Net"


VALUES = {
    "a literal": ("self.l = nn.Linear(4, 8)", 8),
    "arithmetic": ("c = 4\nself.l = nn.Linear(4, c * 2 + 1)", 9),
    "a module constant": ("self.l = nn.Linear(4, WIDTH)", 32),
    "an attribute": ("self.width = 6\nself.l = nn.Linear(4, self.width // 2)", 3),
    "min and max": ("self.l = nn.Linear(4, max(2, min(7, 9)))", 7),
    "an element of a list": ("w = [4, 5]\nself.l = nn.Linear(4, w[-1])", 5),
    "a conditional that is known": ("self.l = nn.Linear(4, 8 if WIDTH > 16 else 2)", 8),
    "a tuple": ("self.l = nn.LayerNorm((4, 8))", None),
}


@pytest.mark.parametrize(("init", "width"), VALUES.values(), ids=VALUES)
def test_values_are_computed(init: str, width: int | None) -> None:
    layer = _layer(init, extra="WIDTH = 32\n")
    assert layer.value("normalized_shape") == (4, 8) if width is None else layer.value("out_features") == width


UNKNOWN = {
    "a parameter": ("self.l = nn.Linear(4, c)", "`c` is a parameter"),
    "a parameter with a default": ("self.l = nn.Linear(4, d)", "`d` is a parameter"),
    "a branch": ("w = 1\nif c:\n    w = 2\nself.l = nn.Linear(4, w)", "depends on a branch"),
    "a loop": ("w = 1\nfor i in c:\n    w = w + 1\nself.l = nn.Linear(4, w)", "depends on a branch"),
    "a constant that is set twice": ("self.l = nn.Linear(4, TWICE)", "bound more than once"),
    "options": ("self.l = nn.Linear(4, **c)", "`**c` is passed"),
    "a spread list": ("self.l = nn.Linear(*c)", "what is iterated is not known"),
}


@pytest.mark.parametrize(("init", "reason"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_may_differ_is_unknown(init: str, reason: str) -> None:
    layer = _layer(init, ", c, d=8", extra="TWICE = 1\nTWICE = 2\n")
    with pytest.raises(Undecided, match=reason.replace("*", r"\*")):
        layer.value("out_features")


def _kinds(graph: LayerGraph) -> list[str]:
    return [call.kind for call in graph.calls]


def test_functional_calls_have_canonical_kinds_and_arguments() -> None:
    graph = graph_of(net("self.norm = nn.BatchNorm2d(8)", """
        y = F.leaky_relu(x, 0.1).add_(1)
        z = torch.cat([x, y], dim=1).permute(0, 2, 1)
        return F.batch_norm(z @ y, None, None, training=True) / 2
    """))  # fmt: skip
    assert _kinds(graph) == ["input", "leaky_relu", "add", "cat", "permute", "matmul", "batch_norm", "div"]
    calls = {call.kind: call for call in graph.calls}
    assert calls["permute"].layer.value("dims") == (0, 2, 1)
    assert calls["batch_norm"].layer.value("training") is True
    assert calls["cat"].layer.value("dim") == 1
    assert [one.kind for one in calls["cat"].inputs] == ["input", "add"]
    assert [call.kind for call in graph.outputs] == ["div"]


def test_branches_are_joined_and_exclude_each_other() -> None:
    graph = graph_of(
        net(CONV_BN, "if self.flag:\n    x = self.bn(x)\nelse:\n    x = self.bn(self.conv(x))\nreturn F.relu(x)")
    )
    first, second = graph.calls_of(graph.layers[1])
    assert exclusive(first, second)
    relu = graph.calls[-1]
    assert relu.producer().kind == "either" and [known(one) for one in relu.producer().inputs] == [first, second]


def test_a_layer_that_is_called_twice_has_two_calls() -> None:
    graph = graph_of(net(CONV_BN, "return self.bn(self.conv(x)) + self.bn(x)"))
    first, second = graph.calls_of(graph.layers[1])
    assert not exclusive(first, second)


def test_results_that_are_unpacked_are_picked() -> None:
    graph = graph_of(
        net("self.rnn = nn.LSTM(4, 8)\nself.norm = nn.LayerNorm(8)", "y, (h, c) = self.rnn(x)\nreturn self.norm(y)")
    )
    norm = next(call for call in graph.calls if call.kind == "LayerNorm")
    assert norm.producer().kind == "getitem" and norm.producer().producer().kind == "LSTM"


def test_a_layer_inside_a_block_of_the_file_is_followed() -> None:
    graph = graph_of("""
        class Block(nn.Module):
            def __init__(self, i, o):
                super().__init__()
                self.norm = nn.BatchNorm2d(i)
                self.conv = nn.Conv2d(i, o, 3)
            def forward(self, x):
                return self.conv(self.norm(x))
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.stem = nn.Conv2d(3, 8, 3)
                self.block = Block(8, 16)
            def forward(self, x):
                return self.block(self.stem(x))
    """)
    assert edges(graph) == {("self.stem", "self.norm")}
    assert {layer.owner for layer in graph.layers} == {"Net", "Block"}
    assert next(layer for layer in graph.layers if layer.kind == "BatchNorm2d").integer("num_features") == 8


def test_reparametrizations_are_noted() -> None:
    graph = graph_of(
        net(
            "self.conv = nn.utils.spectral_norm(nn.Conv2d(3, 8, 3))\nself.bn = nn.BatchNorm2d(8)",
            "return self.bn(self.conv(x))",
        )
    )
    assert graph.layers[0].wrappers == ("spectral_norm",)


def test_files_without_norms_or_torch_give_no_graphs() -> None:
    assert graphs_of("class Net(nn.Module):\n    def __init__(self):\n        self.conv = nn.Conv2d(3, 8, 3)\n") == []
    assert graphs_of("norm = 1\n", head="import numpy\n") == []


BLOCKS = """
import torch.nn as nn
class Block(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(i), nn.Conv2d(i, o, 3)
    def forward(self, x):
        return self.conv(self.norm(x))
"""


def _beside(tmp_path: Path, text: str) -> LayerGraph:
    (tmp_path / "blocks.py").write_text(BLOCKS)
    path = tmp_path / "model.py"
    path.write_text(HEAD + dedent(text))
    script = Siblings().attach(read(path.read_text(), str(path)))
    return next(graph for graph in graphs(script) if graph.name == "Net")


def test_a_block_of_a_file_beside_is_followed_but_its_layers_are_not_judged(tmp_path: Path) -> None:
    graph = _beside(
        tmp_path,
        "from blocks import Block\n"
        + net(
            "self.stem = nn.Conv2d(3, 8, 3)\nself.block = Block(8, 8)\nself.last = nn.BatchNorm2d(8)",
            "return self.last(self.block(self.stem(x)))",
        ),
    )
    assert edges(graph) == {("self.stem", "self.norm"), ("self.conv", "self.last")}
    assert redundant([graph]) == {"self.stem"}
    conv = next(layer for layer in graph.layers if layer.owner == "Block" and layer.kind == "Conv2d")
    with pytest.raises(Undecided, match="may be used elsewhere"):
        graph.calls_of(conv)


def test_a_class_that_says_bn_only_and_a_helper_that_a_package_renames(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("from .b1 import make_norm as make_bn\n")
    (tmp_path / "pkg" / "b1.py").write_text(HEAD + "def make_norm(width):\n    return nn.BatchNorm2d(width)\n")
    block = net("self.c = nn.Conv2d(3, 8, 3)\nself.bn = make_bn(8)", "return self.bn(self.c(x))")
    graph = _beside(tmp_path, "from pkg import make_bn\n" + block)
    assert redundant([graph]) == {"self.c"}


def test_a_name_that_no_file_beside_defines_is_unknown(tmp_path: Path) -> None:
    graph = _beside(
        tmp_path,
        "from elsewhere import Block\n"
        + net("self.block = Block(8, 8)\nself.last = nn.BatchNorm2d(8)", "return self.last(self.block(x))"),
    )
    assert edges(graph) == set()
