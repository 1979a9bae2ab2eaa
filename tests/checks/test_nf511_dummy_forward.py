"""NF511 dummy-forward: look-alikes first, then the misuse in its spellings."""

import pytest
from source_findings import NET, PLAIN, fires, fixed, report, silent

from normfix.checks import nf511_dummy_forward as rule
from normfix.findings import Together

FEATURES = "self.features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))"
TRAIN = "for x, y in data:\n    F.mse_loss(net(x), y).backward()\n"


def init(*lines: str, rest: str = "", features: str = FEATURES) -> str:
    body = "".join(f"        {line}\n" for line in (features, *lines))
    return f"class M(nn.Module):\n    def __init__(self):\n        super().__init__()\n{body}{rest}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(init("self.features.eval()", "n = self.features(torch.zeros(1, 3, 9, 9)).numel()"), id="eval"),
        pytest.param(
            init("n = self.features(torch.zeros(1, 3, 9, 9)).numel()", features=FEATURES.replace("Batch", "Instance")),
            id="instance norm",
        ),
        pytest.param(
            init(rest="    def forward(self, x):\n        return self.features(torch.zeros(1, 3, 9, 9))"), id="forward"
        ),
        pytest.param(init("self.width = width(torch.zeros(1, 3, 9, 9))"), id="a function that is not seen"),
        pytest.param(init("self.n = self.features(x).numel()"), id="input that is not made up"),
        pytest.param(
            init("n = self.features(torch.zeros(1, 3, 9, 9))", "self.bn = nn.LazyBatchNorm1d()"),
            id="lazy layers need it",
        ),
        pytest.param(
            NET + "net = Net()\nprint(net(torch.randn(2, 3, 8, 8)).shape)", id="a smoke test and nothing else"
        ),
        pytest.param(
            NET + "net = Net().eval()\ny = net(torch.randn(2, 3, 8, 8))\nnet.train()\n" + TRAIN, id="eval, then train"
        ),
        pytest.param(
            NET + "net = Net()\nF.mse_loss(net(torch.randn(2, 3, 8, 8)), y).backward()", id="made-up training"
        ),
        pytest.param(
            NET + "net = Net()\ny = net(torch.randn(2, 3, 8, 8))\nloss = criterion(y)\nloss.backward()",
            id="made-up training in steps",
        ),
        pytest.param(PLAIN + "net = Net()\nprint(net(torch.randn(2, 8)).shape)\n" + TRAIN, id="no batch norm"),
        pytest.param(
            "import pytest\n" + NET + "net = Net()\nprint(net(torch.randn(2, 3, 8, 8)).shape)\n" + TRAIN,
            id="a unit test",
        ),
        pytest.param(
            NET + "print(Net()(torch.randn(2, 3, 8, 8)).shape)\nnet = Net()\n" + TRAIN, id="a model that is thrown away"
        ),
        pytest.param(NET + "net = Net()\ny = net(x)\n" + TRAIN, id="real input"),
        pytest.param(
            init("x = load()", "if x is None:", "    x = torch.zeros(1, 3, 9, 9)", "n = self.features(x).numel()"),
            id="made up only where there is no real input",
        ),
        pytest.param(
            init("x = torch.zeros(1, 3, 9, 9)", "x = load()", "n = self.features(x).numel()"), id="replaced before"
        ),
        pytest.param(
            init("x = torch.zeros(1, 3, 9, 9)", "for y in samples:", "    n = self.features(x).numel()", "    x = y"),
            id="replaced in the round before",
        ),
        pytest.param(
            NET + "a = Net()\nx = torch.randn(2, 3, 8, 8)\na(x).sum().backward()\ny = a(x)\nprint(y.shape)\n"
            "b = Net()\nb(x).sum().backward()",
            id="two networks tried out on made-up data",
        ),
        pytest.param(
            NET + "def build():\n    net = Net()\n    y = net(torch.zeros(1, 3, 8, 8))\n    return net, y",
            id="the result is returned too",
        ),
        pytest.param(
            NET + "def build():\n    net = Net()\n    net.eval()\n"
            "    n = net(torch.zeros(1, 3, 8, 8)).shape[1]\n    net.train()\n"
            "    return nn.Sequential(net, nn.Linear(n, 2))",
            id="probed in eval mode and returned",
        ),
        pytest.param(
            NET + "def count():\n    net = Net()\n    return net(torch.zeros(1, 3, 8, 8)).numel()",
            id="a model that is thrown away",
        ),
        pytest.param(
            init(
                "n = self.size()",
                features="self.a, self.n = nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8)",
                rest="    def size(self):\n        x = torch.zeros(1, 3, 9, 9)\n"
                "        x = self.n(self.a(x))\n        return x.numel()\n",
            ),
            id="parts without batch norm, in a helper",
        ),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


HELPER = """
    def _size(self, shape):
        x = torch.zeros(1, *shape)
        return self.features(x).numel()  # here
"""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(init("n = self.features(torch.zeros(1, 3, 9, 9)).numel()  # here"), id="zeros"),
        pytest.param(
            init("x = torch.zeros(1, 3, 9, 9)", "x = self.features(x)  # here", "x = self.pool(x)"),
            id="the result takes the name of the input",
        ),
        pytest.param(
            init("with torch.no_grad():", "    n = self.features(torch.rand(1, 3, 9, 9)).shape[1]  # here"),
            id="no_grad",
        ),
        pytest.param(
            init("x = torch.randn(2, 3, 9, 9)", "self.n = self.features(x).shape[1]  # here"), id="through a name"
        ),
        pytest.param(
            init("n = self.features(torch.autograd.Variable(torch.ones(1, 3, 9, 9))).numel()  # here"), id="Variable"
        ),
        pytest.param(init("n = self.features(torch.zeros(3, 9, 9).unsqueeze(0)).numel()  # here"), id="reshaped"),
        pytest.param(init("self.n = self._size((3, 9, 9))", rest=HELPER), id="in a helper of the constructor"),
        pytest.param(
            init(
                "n = self.body(torch.zeros(1, 3, 9, 9)).numel()  # here",
                rest="    def body(self, x):\n        return self.features(x)\n",
            ),
            id="through a method",
        ),
        pytest.param(
            NET + "net = Net()\nprint(net(torch.randn(2, 3, 8, 8)).shape)  # here\n" + TRAIN, id="before training"
        ),
        pytest.param(
            NET + "net = Net()\nout = net(torch.randn(2, 3, 8, 8))  # here\nprint(out.shape)\n" + TRAIN, id="kept"
        ),
        pytest.param(
            "from torchvision import models\nnet = models.resnet18()\nnet(torch.zeros(1, 3, 64, 64))  # here\n" + TRAIN,
            id="a torchvision network",
        ),
        pytest.param(
            NET + "def build():\n    net = Net()\n    n = net(torch.zeros(1, 3, 8, 8)).shape[1]  # here\n"
            "    return nn.Sequential(net, nn.Linear(n, 2))",
            id="returned in another network",
        ),
        pytest.param(
            NET + "def build():\n    net = Net()\n    print(net(torch.randn(2, 3, 8, 8)).shape)  # here\n"
            "    return net\n",
            id="returned",
        ),
        pytest.param(
            init(
                "n = self.size()",
                features="self.a, self.n = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)",
                rest="    def size(self):\n        x = torch.zeros(1, 3, 9, 9)\n"
                "        x = torch.relu(self.n(self.a(x)))  # here\n        return x.numel()\n",
            ),
            id="parts one after the other, in a helper",
        ),
        pytest.param("import torch as th\n" + init("self.features(th.zeros(1, 3, 9, 9))  # here"), id="torch as th"),
        pytest.param(
            "from torch import zeros\n" + init("self.features(zeros(1, 3, 9, 9))  # here"), id="zeros by name"
        ),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "warning")


def test_a_maker_of_another_name_is_found_in_a_file_that_is_read() -> None:
    text = "make = torch.zeros\nw = torch.ones(2)\n" + init("self.features(make(1, 3, 9, 9))")
    assert len(report(rule, text).findings) == 1


@pytest.mark.parametrize(
    "call",
    [
        pytest.param("self.features(torch \\\n            .zeros(1, 3, 9, 9))", id="torch on a line of its own"),
        pytest.param("(self\n         # parts\n         .features)(torch.zeros(1, 3, 9, 9))", id="a part over lines"),
        pytest.param("self.features(  # of\n            # zeros\n            torch.zeros(1, 3, 9, 9))", id="comments"),
        pytest.param("self.features(torch.\n  # noise\n  rand(1, 3, 9, 9))", id="noise behind a comment"),
    ],
)
def test_found_in_any_layout(call: str) -> None:
    assert len(report(rule, init(call)).findings) == len(report(rule, init(call).replace("\n", "\r\n")).findings) == 1


def test_the_remedy_puts_eval_around_the_pass() -> None:
    (finding,) = report(rule, init("n = self.features(torch.zeros(1, 3, 9, 9)).numel()")).findings
    assert isinstance(finding.remedy, Together)
    assert [part.text for part in finding.remedy.parts] == ["self.features.eval()", "self.features.train()"]  # type: ignore[union-attr]  # both are statements


PROBE = "self.features(torch.zeros(1, 3, 9, 9)).numel()"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            init("self.n = self.width()", rest=f"    def width(self):\n        return {PROBE}\n"),
            id="nothing runs after a return",
        ),
        pytest.param(init(f"if {PROBE}: self.n = 1"), id="the header of an if, which holds more"),
        pytest.param(init(f"for i in range({PROBE}): self.n = i"), id="the header of a loop"),
        pytest.param(
            init(f"self.n = lambda: {PROBE}".replace("torch.", "# made up (\n        torch.")), id="behind a comment"
        ),
        pytest.param(init(f"self.n = lambda: {PROBE}".replace("(", " (")), id="a blank before each bracket"),
        pytest.param(init(f"self.n = lambda: {PROBE}"), id="a lambda runs later"),
    ],
)
def test_found_and_left_to_its_author(text: str) -> None:
    assert fixed(rule, text) == text and report(rule, text).findings


def test_two_probes_are_both_put_in_eval_mode() -> None:
    text = init(f"a = {PROBE}", f"b = {PROBE}")
    around = ("self.features.eval()", "self.features.train()")
    assert fixed(rule, text) == init(around[0], f"a = {PROBE}", around[1], around[0], f"b = {PROBE}", around[1])
