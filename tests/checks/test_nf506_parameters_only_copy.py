"""NF506 parameters-only-copy: look-alikes first, then the misuse in its spellings."""

from typing import Any

import pytest
from source_findings import HEADER, NET, PLAIN, fires, fixed, report, silent

from normfix.checks import nf506_parameters_only_copy as rule

LOOP = "for a, b in zip(ema.parameters(), net.parameters()):"
BODY = "        a.data.mul_(0.99).add_(b.data, alpha=0.01)\n"


DICTS = "new, old = dict(ema.named_parameters()), dict(net.named_parameters())"
ACCUMULATE = "        new[k].data.mul_(0.99).add_(old[k].data, alpha=0.01)\n"


def accumulate(line: str = "for k in new:", body: str = ACCUMULATE, dicts: str = DICTS) -> str:
    return NET + update(f"{dicts}\n    {line}", body)


def update(line: str = LOOP, body: str = BODY, more: str = "") -> str:
    return f"def update(ema, net):\n    {line}\n{body}{more}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            NET + update(more="    for a, b in zip(ema.buffers(), net.buffers()):\n        a.copy_(b)\n"), id="buffers"
        ),
        pytest.param(NET + update(more="    ema.load_state_dict(net.state_dict())\n"), id="a state dict"),
        pytest.param(
            NET
            + "def buffers(ema, net):\n    ema.load_state_dict(net.state_dict())\n"
            + update(more="    buffers(ema, net)\n"),
            id="a helper sees to the buffers",
        ),
        pytest.param(PLAIN + update(), id="no batch norm in the file"),
        pytest.param(
            NET + update(more="    return F.mse_loss(net(x), ema(x))\n"), id="a copy that is never in eval mode"
        ),
        pytest.param(update(), id="models that are not seen"),
        pytest.param(NET + update(body="        print(a, b)\n"), id="only compared"),
        pytest.param(NET + update(body="        a.grad = b.grad\n"), id="gradients are copied"),
        pytest.param(NET + update(body="        a.grad.copy_(b.grad)\n"), id="gradients are copied in place"),
        pytest.param(NET + update("for a, b in zip(xs, ys):"), id="other things"),
        pytest.param(NET + update("for a in net.parameters():", "        a.data.mul_(2)\n"), id="one model"),
        pytest.param(NET + "# MoCo\n" + update(), id="a momentum encoder keeps its own statistics"),
        pytest.param(
            NET + "from lib import head\n\n\nclass Run:\n    def __init__(self):\n        self.net = Net()\n"
            "        self.head = head()\n        self.slow = copy.deepcopy(self.head)\n\n"
            "    def step(self):\n        update(self.slow, self.head)\n\n\n" + update(),
            id="callers pass another network, which is not seen",
        ),
        pytest.param(
            NET + update("for a, b in zip(ema.state_dict().values(), net.state_dict().values()):"), id="all state"
        ),
        pytest.param(
            NET + PLAIN.replace("Net", "Mlp") + "net, ema = Mlp(), Mlp()\n" + LOOP + "\n    a.data.copy_(b.data)",
            id="these models have none",
        ),
        pytest.param(
            NET + "class MoCo(nn.Module):\n    def __init__(self):\n        self.q, self.k = Net(), Net()\n"
            "    def update(self):\n"
            "        for a, b in zip(self.k.parameters(), self.q.parameters()):\n"
            "            a.data.lerp_(b.data, 0.01)\n",
            id="momentum contrast",
        ),
        pytest.param(accumulate(body="        print(new[k].data, old[k].data)\n"), id="dicts that are only read"),
        pytest.param(accumulate(body="        new[k].grad.add_(old[k].data)\n"), id="gradients, by name"),
        pytest.param(accumulate(body="        new[0].data.mul_(old[k].data)\n"), id="another entry is written"),
        pytest.param(accumulate(body="        new[k].data.mul_(2)\n"), id="one dict"),
        pytest.param(
            accumulate(dicts="new, old = ema.state_dict(), dict(net.named_parameters())"), id="a dict of all state"
        ),
        pytest.param(
            accumulate() + "    for k, b in ema.named_buffers():\n        b.copy_(states[k])\n", id="buffers, by name"
        ),
        pytest.param(accumulate().replace(NET, PLAIN), id="dicts of networks without batch norm"),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


HERE = LOOP + "  # here"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(update(HERE), id="mul_ and add_"),
        pytest.param(accumulate("for k in new.keys():  # here").removeprefix(NET), id="by name"),
        pytest.param(
            accumulate(
                "for k in range_of(new):  # here", "        new[k].data = 0.9 * new[k].data + 0.1 * old[k].data\n"
            ).removeprefix(NET),
            id="by name, data is assigned",
        ),
        pytest.param(
            accumulate("for k in new:  # here", "        new[k].copy_(new[k] + 0.1 * old[k])\n").removeprefix(NET),
            id="by name, copied",
        ),
        pytest.param(
            update(HERE) + "\n\nnet = Net().cuda()\nslow = copy.deepcopy(net)\nupdate(slow, net)\n",
            id="passed by a caller",
        ),
        pytest.param(update(HERE, "        a.data = 0.99 * a.data + 0.01 * b.data\n"), id="data is assigned"),
        pytest.param(update(HERE, "        a.data.copy_(0.9 * a.data + 0.1 * b.data)\n"), id="copy_"),
        pytest.param(update(HERE, "        a.lerp_(b, 0.01)\n"), id="lerp_"),
        pytest.param(update(HERE, more="    return ema.eval()(x)\n"), id="a copy in eval mode"),
        pytest.param(update(HERE, "        b.data.copy_(a.data)\n"), id="the second is written"),
        pytest.param(
            update(HERE.replace("zip(ema", "enumerate(zip(ema").replace("()):", "())):").replace("a, b", "i, (a, b)")),
            id="enumerated",
        ),
        pytest.param(
            update("for (_, a), (_, b) in zip(ema.named_parameters(), net.named_parameters()):  # here"), id="named"
        ),
        pytest.param(
            update("for a, b in zip(list(ema.parameters()), list(net.module.parameters())):  # here"), id="lists"
        ),
        pytest.param(
            "net, ema = Net(), Net()\nema.load_state_dict(net.state_dict())\nfor epoch in range(9):\n"
            "    for a, b in zip(ema.parameters(), net.parameters()):  # here\n        a.data.copy_(b.data)",
            id="at the top level",
        ),
        pytest.param(
            "class MoCo(nn.Module):\n    pass\nclass Average:\n    def update(self, net):\n"
            "        for a, b in zip(self.net.parameters(), net.parameters()):  # here\n"
            "            a.lerp_(b, 0.01)\n",
            id="an average beside momentum contrast",
        ),
    ],
)
def test_found(text: str) -> None:
    fires(rule, NET + text, "warning")


def test_a_known_network_with_batch_norm() -> None:
    text = "from torchvision import models\nnet = models.resnet18()\nema = models.resnet18()\n" + HERE
    fires(rule, text + "\n    a.data.copy_(b.data)", "warning")


COPY = "    for a, b in zip(ema.buffers(), net.buffers()):\n        a.copy_(b)\n"
TWO = LOOP.replace("ema", "ema2").replace("net", "net2")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(update("for a, b in zip(list(ema.parameters()), net.parameters()):"), id="not the method itself"),
        pytest.param(update("for i, (a, b) in enumerate(zip(ema.parameters(), net.parameters())):"), id="enumerated"),
        pytest.param(update("for (_, a), (_, b) in zip(ema.named_parameters(), net.named_parameters()):"), id="names"),
        pytest.param(
            update("for i, (a, b) in enumerate(  # all\n        zip(ema.parameters (), net.parameters ())):"),
            id="laid out",
        ),
        pytest.param(update() + update().replace("update", "other"), id="loops in two functions"),
        pytest.param(
            update("for ema, b in zip(ema.parameters(), net.parameters()):", BODY.replace("a.data", "ema.data")),
            id="the loop takes the name of a network",
        ),
    ],
)
def test_found_and_left_to_its_author(text: str) -> None:
    assert fixed(rule, NET + text) == NET + text and report(rule, NET + text).findings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(update(), update(more=COPY), id="after the loop"),
        pytest.param(
            update(body="        b.data.copy_(a.data)\n"),
            update(body="        b.data.copy_(a.data)\n", more=COPY.replace("a.copy_(b)", "b.copy_(a)")),
            id="the second is written",
        ),
        pytest.param(
            update().replace("net.p", "net.module.p"),
            update(more=COPY.replace("net.b", "net.module.b")).replace("net.p", "net.module.p"),
            id="a network inside its wrapper",
        ),
        pytest.param(
            update(more=f"    {TWO}\n{BODY}    return a\n"),
            update(
                more=COPY + f"    {TWO}\n{BODY}" + COPY.replace("ema", "ema2").replace("net", "net2") + "    return a\n"
            ),
            id="two pairs in one function",
        ),
        pytest.param(update().replace("    ", "\t"), update(more=COPY).replace("    ", "\t"), id="indented with tabs"),
    ],
)
def test_buffers_are_copied_too(text: str, expected: str) -> None:
    net = NET.replace("    ", "\t") if "\t" in text else NET
    assert fixed(rule, net + text) == net + expected


def test_the_fix_makes_the_copy_equal() -> None:
    torch = pytest.importorskip("torch")
    names: dict[str, Any] = {}
    copied = update(body="        a.data.copy_(b.data)\n")
    exec(compile(HEADER + fixed(rule, NET + copied), "m.py", "exec"), names)
    net, ema = names["Net"]().double(), names["Net"]().double()
    net(torch.randn(4, 3, 9, 9, dtype=torch.float64))
    names["update"](ema, net)
    image = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    assert torch.equal(ema.eval()(image), net.eval()(image))
