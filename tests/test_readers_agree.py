"""What the source reader claims to know of a network, the live reader confirms."""

import re
from collections.abc import Iterator
from textwrap import dedent

import pytest

torch = pytest.importorskip("torch")

from normfix import vocabulary  # noqa: E402  # after the skip
from normfix.graph import Call, Layer, LayerGraph, Undecided, Unknown  # noqa: E402
from normfix.readers.model import capture  # noqa: E402
from normfix.readers.scripts import read  # noqa: E402
from normfix.readers.source import graphs  # noqa: E402

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\nfrom collections import OrderedDict\n"
IMAGE, ROWS, WAVE, TOKENS = (4, 3, 8, 8), (4, 3), (4, 3, 16), (4, 5, 3)


def net(init: str, forward: str) -> str:
    lines = ["class Net(nn.Module):", "    def __init__(self):", "        super().__init__()"]
    lines += [f"        {line}" for line in dedent(init).strip().splitlines()]
    lines += ["    def forward(self, x):", *(f"        {line}" for line in dedent(forward).strip().splitlines())]
    return "\n".join(lines) + "\n"


CONV_BN = "self.conv = nn.Conv2d(3, 8, 3)\nself.bn = nn.BatchNorm2d(8)"
SNIPPETS = {
    "nested calls": (net(CONV_BN, "return F.relu(self.bn(self.conv(x)))"), IMAGE),
    "assignments": (net(CONV_BN, "x = self.conv(x)\nx = F.relu(x)\nreturn self.bn(x)"), IMAGE),
    "arguments": (
        net(
            "self.conv = nn.Conv2d(3, 4 * 2, (3, 1), 2, padding='valid', dilation=1, bias=False)\n"
            "self.bn = nn.BatchNorm2d(8, 1e-3, momentum=None, affine=not True)",
            "return self.bn(self.conv(x))",
        ),
        IMAGE,
    ),
    "sequential": (
        net("self.net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())", "return self.net(x)"),
        IMAGE,
    ),
    "OrderedDict": (
        net(
            "self.net = nn.Sequential(OrderedDict([('0', nn.Linear(3, 8)), ('1', nn.BatchNorm1d(8))]))",
            "return self.net(x)",
        ),
        ROWS,
    ),
    "a list that rounds build": (
        net(
            "layers = []\nfor width in (4, 8):\n    layers += [nn.LazyConv2d(width, 3), nn.BatchNorm2d(width)]\n"
            "self.net = nn.Sequential(*layers)",
            "return self.net(x)",
        ),
        IMAGE,
    ),
    "two lists zipped": (
        net(
            "self.a = nn.ModuleList([nn.Linear(3, 3) for _ in range(2)])\n"
            "self.b = nn.ModuleList([nn.BatchNorm1d(3) for _ in range(2)])",
            "for a, b in zip(self.a, self.b):\n    x = b(a(x))\nreturn x",
        ),
        ROWS,
    ),
    "a list that is walked": (
        net(
            "self.steps = nn.ModuleList([nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU()])",
            "for step in self.steps:\n    x = step(x)\nreturn x",
        ),
        ROWS,
    ),
    "pre-activation": (
        net(
            "self.bn = nn.BatchNorm2d(3)\nself.conv = nn.Conv2d(3, 8, 3)\nself.bn2 = nn.BatchNorm2d(8)",
            "return self.bn2(self.conv(F.relu(self.bn(x))))",
        ),
        IMAGE,
    ),
    "residual": (
        net(
            "self.conv = nn.Conv2d(3, 3, 3, padding=1)\nself.bn = nn.BatchNorm2d(3)",
            "y = self.conv(x)\ny += x\nreturn self.bn(y)",
        ),
        IMAGE,
    ),
    "concatenation": (
        net(
            "self.a = nn.Conv2d(3, 4, 3)\nself.b = nn.Conv2d(3, 4, 3)\nself.bn = nn.BatchNorm2d(8)",
            "return self.bn(torch.cat([self.a(x), self.b(x)], 1))",
        ),
        IMAGE,
    ),
    "a branch on a constant": (
        net(
            CONV_BN + "\nself.use = True",
            "x = self.conv(x)\nif self.use:\n    x = self.bn(x)\nreturn x",
        ),
        IMAGE,
    ),
    "a branch on None": (
        net(
            CONV_BN + "\nself.act = None",
            "x = self.bn(self.conv(x))\nif self.act is not None:\n    x = self.act(x)\nreturn x",
        ),
        IMAGE,
    ),
    "a helper method": (
        net(CONV_BN, "return self.part(x)") + "    def part(self, x):\n        return self.bn(self.conv(x))\n",
        IMAGE,
    ),
    "a method that makes a block": (
        net("self.a, self.b = self.block(3, 4), self.block(4, 5)", "return self.b(self.a(x))")
        + "    def block(self, i, o):\n        return nn.Sequential(nn.Conv2d(i, o, 3), nn.BatchNorm2d(o))\n",
        IMAGE,
    ),
    "a local factory": (
        net(
            "def block(i, o, normalize=True):\n    layers = [nn.Linear(i, o)]\n    if normalize:\n"
            "        layers.append(nn.BatchNorm1d(o))\n    return layers\n"
            "self.net = nn.Sequential(*block(3, 4, normalize=False), *block(4, 5))",
            "return self.net(x)",
        ),
        ROWS,
    ),
    "a base class": (
        "class Base(nn.Module):\n    def __init__(self, width):\n        super().__init__()\n"
        "        self.conv = nn.Conv2d(3, width, 3)\n    def forward(self, x):\n        return self.bn(self.conv(x))\n"
        "class Net(Base):\n    def __init__(self):\n        super().__init__(6)\n"
        "        self.bn = nn.BatchNorm2d(6)\n",
        IMAGE,
    ),
    "a subclass of Sequential": (
        "class Net(nn.Sequential):\n    def __init__(self):\n        super().__init__()\n"
        "        self.add_module('conv', nn.Conv2d(3, 8, 3))\n        self.add_module('bn', nn.BatchNorm2d(8))\n",
        IMAGE,
    ),
    "called twice": (
        net(
            "self.conv = nn.Conv2d(3, 3, 3)\nself.bn = nn.BatchNorm2d(3)",
            "return self.bn(self.conv(self.bn(self.conv(x))))",
        ),
        IMAGE,
    ),
    "permuted": (
        net(
            "self.conv = nn.Conv2d(3, 8, 3)\nself.norm = nn.LayerNorm(8)",
            "return self.norm(self.conv(x).permute(0, 2, 3, 1))",
        ),
        IMAGE,
    ),
    "in place": (
        net(CONV_BN, "x = self.conv(x)\nF.relu_(x)\nreturn self.bn(x)"),
        IMAGE,
    ),
    "one dimension": (
        net(
            "self.conv = nn.Conv1d(3, 8, 3)\nself.norm = nn.InstanceNorm1d(8)",
            "return self.norm(self.conv(x)).mean(-1)",
        ),
        WAVE,
    ),
    "tokens": (
        net("self.fc = nn.Linear(3, 8)\nself.norm = nn.LayerNorm(8, eps=1e-6)", "return self.norm(self.fc(x)) + 1"),
        TOKENS,
    ),
    "groups": (
        net(
            "self.conv = nn.Conv2d(3, 8, 1)\nself.norm = nn.GroupNorm(2, 8)\nself.act = nn.GELU()",
            "return self.act(self.norm(self.conv(x)))",
        ),
        IMAGE,
    ),
    "parallel paths": (
        net(
            "self.a = nn.Conv2d(3, 4, 3)\nself.na = nn.BatchNorm2d(4)\nself.b = nn.Conv2d(3, 4, 3)\n"
            "self.nb = nn.BatchNorm2d(4)",
            "a, b = self.a(x), self.b(x)\na, b = self.nb(b), self.na(a)\nreturn a * b",
        ),
        IMAGE,
    ),
    "a condition that is never known": (
        net(CONV_BN, "x = self.conv(x)\nif x.shape[0] > 2:\n    x = self.bn(x)\nreturn x"),
        IMAGE,
    ),
}


def _live(text: str, shape: tuple[int, ...]) -> LayerGraph:
    names: dict[str, type[torch.nn.Module]] = {}
    exec(compile(HEAD + text, "model.py", "exec"), names)  # the snippets above, nothing else
    torch.manual_seed(0)
    model = names["Net"]()
    model(torch.randn(shape))
    captured = capture(model, torch.randn(shape))
    assert captured.reason is None or not captured.reason, captured.reason
    return captured.graph


def _path(name: str) -> str:
    """`self.net[0]` -> `net.0`."""
    return re.sub(r"\[(\d+)\]", r".\1", name.removeprefix("self."))


def _source(text: str) -> LayerGraph:
    return next(graph for graph in graphs(read(HEAD + text, "model.py")) if graph.name == "Net")


def _modules(graph: LayerGraph) -> dict[str, Layer]:
    return {name: layer for layer in graph.layers for name in (layer.name, *layer.aliases)}


def _producers(graph: LayerGraph, layer: Layer) -> list[Call]:
    return [call.producer() for call in graph.calls_of(layer)]


def _edges(graph: LayerGraph) -> Iterator[tuple[Call, Call]]:
    """(producer, reader) wherever source knows both to be layers."""
    for call in graph.calls:
        if call.kind in vocabulary.kinds() and call.layer.name.startswith("self."):
            try:
                producer = call.producer()
            except Undecided:
                continue
            yield producer, call


@pytest.mark.parametrize(("text", "shape"), SNIPPETS.values(), ids=SNIPPETS)
def test_kinds_and_arguments_are_confirmed(text: str, shape: tuple[int, ...]) -> None:
    modules = _modules(_live(text, shape))
    layers = _source(text).layers
    assert layers
    for layer in layers:
        live = modules[_path(layer.name)]
        assert layer.kind.removeprefix("Lazy") == live.kind
        for name, argument in layer.arguments.items():
            if not isinstance(argument.value, Unknown) and name != "padding":
                assert _plain(argument.value, live.value(name)) == live.value(name), name


def _plain(claimed: object, confirmed: object) -> object:
    """An int where the live layer holds a tuple of it."""
    return (claimed,) * len(confirmed) if isinstance(confirmed, tuple) and isinstance(claimed, int) else claimed


@pytest.mark.parametrize(("text", "shape"), SNIPPETS.values(), ids=SNIPPETS)
def test_producers_are_confirmed(text: str, shape: tuple[int, ...]) -> None:
    live = _live(text, shape)
    modules = _modules(live)
    for producer, call in _edges(_source(text)):
        confirmed = _producers(live, modules[_path(call.layer.name)])
        if producer.layer.name.startswith("self."):
            assert modules[_path(producer.layer.name)] in [one.layer for one in confirmed]
        elif producer.kind not in vocabulary.PSEUDO_KINDS:
            assert producer.kind in [one.kind for one in confirmed]


@pytest.mark.parametrize(("text", "shape"), SNIPPETS.values(), ids=SNIPPETS)
def test_only_readers_are_confirmed(text: str, shape: tuple[int, ...]) -> None:
    live = _live(text, shape)
    modules = _modules(live)
    source = _source(text)
    for call in source.calls:
        try:
            reader = source.only_reader(call)
        except Undecided:
            continue
        if call.layer.name.startswith("self.") and reader.layer.name.startswith("self."):
            confirmed = [_only_reader(live, one) for one in live.calls_of(modules[_path(call.layer.name)])]
            assert modules[_path(reader.layer.name)] in confirmed


def _only_reader(graph: LayerGraph, call: Call) -> Layer | None:
    try:
        return graph.only_reader(call).layer
    except Undecided:
        return None


def test_most_edges_of_these_snippets_are_known() -> None:
    """The other tests confirm what is claimed; this one holds that enough is."""
    known = sum(1 for text, _ in SNIPPETS.values() for _ in _edges(_source(text)))
    assert known >= 55
