"""NF509 accumulated-batches: look-alikes first, then the misuse in its spellings."""

import pytest
from source_findings import NET, PLAIN, fires, silent

from normfix.checks import nf509_accumulated_batches as rule


def loop(
    test: str = "(i + 1) % 4 == 0",
    body: str = "opt.step(); opt.zero_grad()",
    net: str = NET,
    loss: str = "loss(net(x))",
) -> str:
    return (
        net + "net = Net()\nloader = DataLoader(ds, 32, shuffle=True)\nfor i, x in enumerate(loader):\n"
        f"    {loss}.backward()\n    if {test}:  # here\n        {body}\n"
    )


def accelerate(build: str = "Accelerator(gradient_accumulation_steps=4)") -> str:
    return (
        f"from accelerate import Accelerator\n{NET}fast = {build}\n"
        "net = Net()\nnet, opt, data = fast.prepare(net, opt, data)\n"
        "for x in data:\n    with fast.accumulate(net):\n        fast.backward(loss(net(x)))\n"
        "        opt.step()\n        opt.zero_grad()\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(loop(net=PLAIN), id="no batch norm"),
        pytest.param(loop(net=NET.replace("BatchNorm2d", "GroupNorm")), id="group norm"),
        pytest.param(loop("i > 4"), id="not every few steps"),
        pytest.param(loop(body="print(i)"), id="logging"),
        pytest.param(loop(body="sched.step()"), id="a scheduler"),
        pytest.param(loop(body="opt.step()"), id="gradients are not cleared"),
        pytest.param(
            loop(body="loss(net(x)).backward(); opt.step(); opt.zero_grad()"), id="a generator step now and then"
        ),
        pytest.param(loop().replace("loss(net(x)).backward()", "opt.zero_grad()"), id="no backward in each round"),
        pytest.param("import pytest\n" + loop(), id="a unit test"),
        pytest.param(loop("i % 4 != 0", "continue") + "    log(i)\n", id="logging every few rounds"),
        pytest.param(accelerate("Accelerator()"), id="an accelerator that steps each time"),
        pytest.param(accelerate("Accelerator(gradient_accumulation_steps=1)"), id="one round for a step"),
        pytest.param(accelerate().replace("BatchNorm2d", "GroupNorm"), id="an accelerator, group norm"),
        pytest.param(loop(net=NET).replace("net = Net()", "net = Net().eval()"), id="frozen in eval mode"),
        pytest.param(loop(loss="loss(head(x))"), id="another network is trained in this loop"),
        pytest.param(
            "def warm(net, loader):\n    for x in loader:\n        net(x).sum().backward()\nwarm(Net(), data)\n"
            + loop(net=NET, loss="loss(head(x))").replace("net = Net()", "head = Head()"),
            id="the batch-normed network is trained elsewhere",
        ),
        pytest.param(
            loop(loss="loss(head(net(x).detach()))").replace("net = Net()", "net = Net()\nnet.bn.eval()"),
            id="its norm is frozen by name",
        ),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(loop(), id="modulo"),
        pytest.param(loop("i % steps == steps - 1"), id="a variable"),
        pytest.param(loop("(i + 1) % steps == 0 or i + 1 == len(loader)"), id="or at the end"),
        pytest.param(loop(body="scaler.step(opt); scaler.update(); opt.zero_grad()"), id="scaled"),
        pytest.param(loop("not (i + 1) % 4 != 0"), id="negated"),
        pytest.param(loop("i % 4 != 0", "continue") + "    opt.step()\n    opt.zero_grad()\n", id="continue"),
        pytest.param(accelerate().replace("(net):", "(net):  # here"), id="an accelerator"),
        pytest.param(
            accelerate("Accelerator(gradient_accumulation_steps=args.steps)").replace("(net):", "(net):  # here"),
            id="an accelerator with an option",
        ),
        pytest.param(loop(loss="(loss(net(x)) / 4)"), id="divided"),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "info")


def test_small_batches_make_it_a_warning() -> None:
    fires(rule, loop().replace("32", "4"), "warning")


def test_the_small_batches_of_another_loader_do_not() -> None:
    fires(rule, loop() + "other = DataLoader(ds, 4, shuffle=True)\nfor x in other:\n    head(x).backward()\n", "info")


def test_a_network_that_is_handed_to_the_training_function() -> None:
    text = loop().replace("net = Net()\n", "def fit(net, ds):\n    pass\n")
    body = text[text.index("loader =") :].replace("\n", "\n    ").rstrip(" ")
    fires(rule, NET + "def fit(net, ds):\n    " + body + "fit(Net(), data)\nmodel = Net()\nfit(model, data)\n", "info")
