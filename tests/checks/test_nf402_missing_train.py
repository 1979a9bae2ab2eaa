"""NF402 missing-train: look-alikes first, then the misuse in its spellings."""

import pytest
from source_findings import NET, fires, report, silent

from normfix.checks import nf402_missing_train as rule
from normfix.findings import InsertStatement

SETUP = NET + "net = Net()\noptimizer = torch.optim.SGD(net.parameters(), 0.1)\n"
STEP = "F.mse_loss(net(x), y).backward(); optimizer.step()"
HELPERS = """
def fit(model, data, optimizer):
    for x, y in data:
        F.mse_loss(model(x), y).backward()
        optimizer.step()

def validate(model, data):
    model.eval()
    with torch.no_grad():
        return [model(x) for x in data]
"""
MARKED = HELPERS.replace("model.eval()", "model.eval()  # here")


def loop(*lines: str) -> str:
    return SETUP + "for epoch in range(9):\n" + "".join(f"    {line}\n" for line in lines)


TRAIN = f"for x, y in data: {STEP}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(loop("net.train()", TRAIN, "net.eval()", "net(v)"), id="train at the head of the epoch"),
        pytest.param(loop("for x, y in data:", f"    net.train(); {STEP}", "net.eval()"), id="in every iteration"),
        pytest.param(loop(TRAIN, "net.eval()", "net(v)", "net.train()"), id="restored at the end"),
        pytest.param(loop(TRAIN, "was = net.training", "net.eval()", "net.train(was)"), id="mode saved and restored"),
        pytest.param(loop("net.train(True)", TRAIN, "net.eval()"), id="train(True)"),
        pytest.param(loop("net = net.train()", TRAIN, "net.eval()"), id="train by assignment"),
        pytest.param(loop("net.to(d).train()", TRAIN, "net.eval()"), id="train in a chain"),
        pytest.param(loop("net.train(mode=training)", TRAIN, "net.eval()"), id="a mode that is computed"),
        pytest.param(loop("for m in (net, other): m.train()", TRAIN, "net.eval()"), id="train in a loop over models"),
        pytest.param(SETUP + "net.eval()\n" + loop(TRAIN, "net.eval()").removeprefix(SETUP), id="eval kept on purpose"),
        pytest.param(loop("net.eval()", TRAIN), id="eval before the training of the epoch"),
        pytest.param(
            SETUP + "def train(epoch):\n    net.train()\n    for x, y in data:\n        " + STEP + "\n"
            "def test():\n    net.eval()\nfor e in range(9):\n    train(e)\n    test()",
            id="a global, put back in training mode",
        ),
        pytest.param(loop(TRAIN, "ema.eval()", "ema(v)"), id="another model is evaluated"),
        pytest.param(loop(TRAIN, "copy = deepcopy(net)", "copy.eval()"), id="a copy is evaluated"),
        pytest.param(loop(TRAIN) + "net.eval()\nnet(v)", id="eval after the loop"),
        pytest.param(loop("net = Net()", TRAIN, "net.eval()"), id="a network for each fold"),
        pytest.param(loop("net = nets[epoch]", TRAIN, "net.eval()"), id="one of several, by its index"),
        pytest.param(SETUP + f"for net in (Net(), Net()):\n    {TRAIN}\n    net.eval()", id="one of several, in turn"),
        pytest.param(loop("net, optimizer = build(epoch)", TRAIN, "net.eval()"), id="one that a helper builds"),
        pytest.param(
            "class T:\n    def build(self):\n        self.net = Net()\n    def run(self):\n        for f in folds:\n"
            "            self.build()\n            self.loss(self.net(x)).backward(); self.opt.step()\n"
            "            self.net.eval()",
            id="one that a method builds",
        ),
        pytest.param(loop("net.eval()", "with torch.no_grad(): net(v)"), id="nothing is trained"),
        pytest.param(
            "class T:\n    def fit(self):\n        for x, y in self.data:\n            self.step(x, y)\n"
            "            self.net.eval()\n    def step(self, x, y):\n        self.net.train()\n"
            "        self.loss(self.net(x)).backward()\n        self.opt.step()\n",
            id="a method that is called step, and switches",
        ),
        pytest.param(
            HELPERS.replace("def fit(model, data, optimizer):", "def fit(model, data, optimizer):\n    model.train()")
            + loop("fit(net, data, optimizer)", "validate(net, val)"),
            id="train in the training helper",
        ),
        pytest.param(
            HELPERS.replace("return [model(x) for x in data]", "out = [model(x) for x in data]\n    model.train()")
            + loop("fit(net, data, optimizer)", "validate(net, val)"),
            id="restored at the end of the helper",
        ),
        pytest.param(
            "from lib import prepare\n" + loop("prepare(net)", TRAIN, "net.eval()"), id="an imported helper may do it"
        ),
        pytest.param(
            "class T(Base):\n    def run(self):\n        for e in range(9):\n            self.before()\n"
            "            self.loss(self.net(x)).backward(); self.opt.step()\n            self.net.eval()",
            id="an inherited method may do it",
        ),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(loop(TRAIN, "net.eval()  # here", "with torch.no_grad(): net(v)"), id="in one function"),
        pytest.param(
            SETUP + "net.train()\nfor e in range(9):\n    " + TRAIN + "\n    net.eval()  # here", id="train before"
        ),
        pytest.param(loop(TRAIN, "net = net.eval()  # here"), id="eval by assignment"),
        pytest.param(loop(TRAIN, "net.eval()  # here") + "net.eval()\nnet(test)", id="eval after the loop as well"),
        pytest.param(loop(TRAIN, "net.train(False)  # here"), id="train(False)"),
        pytest.param(loop(TRAIN, "net.train(mode=False)  # here"), id="train(False) by name"),
        pytest.param(MARKED + loop("fit(net, data, optimizer)", "validate(net, val)"), id="in helpers"),
        pytest.param(
            MARKED + loop("fit(net, data, optimizer)", "if epoch % 5 == 0: validate(net, val)"), id="every fifth epoch"
        ),
        pytest.param(
            SETUP
            + "def train(epoch):\n    for x, y in data:\n        "
            + STEP
            + "\ndef test():\n    net.eval()  # here\n"
            "for e in range(9):\n    train(e)\n    test()",
            id="a global",
        ),
        pytest.param(
            "class T:\n    def fit(self):\n        for e in range(9):\n            self.epoch()\n"
            "            self.val()\n"
            "    def epoch(self):\n        self.loss(self.net(x)).backward()\n        self.opt.step()\n"
            "    def val(self):\n        self.net.eval()  # here\n",
            id="in methods",
        ),
        pytest.param(
            "class T:\n    def fit(self):\n        for x, y in self.data:\n            self.step(x, y)\n"
            "            if self.count % 9 == 0:\n                self.net.eval()  # here\n"
            "    def step(self, x, y):\n        self.loss(self.net(x)).backward()\n        self.opt.step()\n",
            id="a method that is called step",
        ),
        pytest.param(
            loop("net = Net()", "for e in range(3):", f"    {TRAIN}", "    net.eval()  # here"),
            id="epochs of each fold",
        ),
        pytest.param(loop("net = nn.DataParallel(net)", TRAIN, "net.eval()  # here"), id="the same network, wrapped"),
        pytest.param(
            SETUP + "while True:\n    " + STEP + "\n    if n % 9 == 0:\n        net.eval()  # here", id="while"
        ),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "warning")


def test_the_remedy_stands_at_the_head_of_the_loop() -> None:
    (finding,) = report(rule, loop(TRAIN, "net.eval()")).findings
    assert isinstance(finding.remedy, InsertStatement)
    assert finding.remedy.text == "net.train()"
    assert finding.line is not None and finding.remedy.site.origin is not None
    assert finding.remedy.site.origin.line == finding.line - 1


PHASES = (
    SETUP + "for epoch in range(9):\n    for phase in ['train', 'val']:\n        if phase == 'train':\n"
    "            net.train()\n        else:\n            net.eval()\n        for x, y in data[phase]:\n"
    "            with torch.set_grad_enabled(phase == 'train'):\n                loss = F.mse_loss(net(x), y)\n"
    "                if phase == 'train':\n                    loss.backward()\n                    optimizer.step()\n"
)


def test_a_phase_that_never_trains_again() -> None:
    silent(rule, PHASES)
    fires(rule, PHASES.replace("net.train()", "pass").replace("net.eval()", "net.eval()  # here"))


def test_a_probe_that_is_trained_in_eval_mode_in_every_phase() -> None:
    probe = PHASES.replace("net.train()", "pass").replace(
        "        else:\n            net.eval()\n", "        net.eval()\n"
    )
    silent(rule, probe)
