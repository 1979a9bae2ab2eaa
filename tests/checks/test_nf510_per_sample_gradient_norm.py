"""NF510 per-sample-gradient-norm: look-alikes first, then the misuse in its spellings."""

import pytest
from source_findings import NET, PLAIN, fires, silent

from normfix.checks import nf510_per_sample_gradient_norm as rule

OPACUS = "from opacus import PrivacyEngine, GradSampleModule\nengine = PrivacyEngine()\n"
PRIVATE = "net, opt, loader = engine.make_private(module=model, optimizer=opt, data_loader=loader)"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(OPACUS + PLAIN + "model = Net()\n" + PRIVATE, id="no batch norm"),
        pytest.param(
            OPACUS + NET.replace("BatchNorm2d(8)", "GroupNorm(4, 8)") + "model = Net()\n" + PRIVATE, id="group norm"
        ),
        pytest.param(
            OPACUS + NET + "from opacus.validators import ModuleValidator\n"
            "model = ModuleValidator.fix(Net())\n" + PRIVATE,
            id="repaired",
        ),
        pytest.param(OPACUS + "def f(model, opt, loader):\n    " + PRIVATE, id="a network that is not seen"),
        pytest.param(NET + "model = Net()\n" + PRIVATE, id="another engine"),
        pytest.param(NET + "import pytest\n" + OPACUS + "model = Net()\n" + PRIVATE, id="a unit test"),
        pytest.param(NET + "model = Net()\ntorch.func.functional_call(model, p, x)", id="functional without vmap"),
        pytest.param(
            NET + "model = Net()\nmodel.eval()\nf = lambda p: torch.func.functional_call(model, p, x)\n"
            "torch.func.vmap(f)(ps)",
            id="vmap in eval mode",
        ),
        pytest.param(
            PLAIN + "model = Net()\nf = lambda p: torch.func.functional_call(model, p, x)\ntorch.vmap(f)(ps)",
            id="vmap without batch norm",
        ),
        pytest.param(OPACUS + NET + "model = Net()\nmodel(x)", id="not made private"),
        pytest.param(OPACUS + NET + "model = Net()\nmodel, _ = repair(model)\n" + PRIVATE, id="perhaps repaired"),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        pytest.param(OPACUS + NET + "model = Net()\n" + PRIVATE + "  # here", "error", id="make_private"),
        pytest.param(
            OPACUS + NET + "model = Net()\n" + PRIVATE.replace("net,", "model,") + "  # here", "error", id="same name"
        ),
        pytest.param(
            OPACUS + NET + "model = Net()\nengine.make_private_with_epsilon(module=model, epochs=3)  # here",
            "error",
            id="with epsilon",
        ),
        pytest.param(
            OPACUS + NET + "model = Net()\nnet = GradSampleModule(model)  # here", "error", id="GradSampleModule"
        ),
        pytest.param(
            OPACUS + NET + "model = Net()\ne = PrivacyEngine(model, sample_rate=0.1)  # here", "error", id="old engine"
        ),
        pytest.param(
            OPACUS + "from torchvision import models\nmodel = models.resnet18()\n" + PRIVATE + "  # here",
            "error",
            id="torchvision",
        ),
        pytest.param(
            NET + "model = Net()\nf = lambda p: torch.func.functional_call(model, p, x)  # here\ntorch.vmap(f)(ps)",
            "info",
            id="vmap",
        ),
    ],
)
def test_found(text: str, severity: str) -> None:
    fires(rule, text, severity)


SAME = "net, opt, loader = engine.make_private(module=net, optimizer=opt, data_loader=loader)"


def test_a_network_that_keeps_its_name() -> None:
    fires(rule, OPACUS + NET + "net = Net()\nnet = net.to('cuda')\n" + SAME + "  # here")
    silent(rule, OPACUS + PLAIN + "net = Net()\nnet = net.to('cuda')\n" + SAME)
    silent(rule, OPACUS + NET + "net = Net()\nnet = repaired(net)\nnet = other()\n" + SAME)
