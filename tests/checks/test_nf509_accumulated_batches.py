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
        pytest.param(loop(net=NET).replace("net = Net()", "net = Net().eval()"), id="frozen in eval mode"),
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
        pytest.param(loop(loss="(loss(net(x)) / 4)"), id="divided"),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "info")


def test_small_batches_make_it_a_warning() -> None:
    fires(rule, loop().replace("32", "4"), "warning")
