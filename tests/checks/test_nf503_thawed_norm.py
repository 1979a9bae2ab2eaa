"""NF503 thawed-norm: look-alikes first, then the misuse in its spellings, then live models."""

import pytest
from source_findings import NET, fires, report, silent

from normfix import engine
from normfix.checks import nf503_thawed_norm as rule
from normfix.graph import Layer, LayerGraph, Site, Tensor

NETWORK = "from torchvision import models\nnet = models.resnet18(weights='DEFAULT')\n"
FREEZE = "for p in net.parameters():\n    p.requires_grad = False\nnet.fc = nn.Linear(512, 3)\n"
TRAIN = "net.train()\nfor x, y in data:\n    F.cross_entropy(net(x), y).backward()\n"


MAY_FREEZE = (
    "def freeze(net, on):\n    if on:\n        for p in net.parameters():\n            p.requires_grad = False\n"
)


def backbone(*lines: str, rest: str = "") -> str:
    body = "".join(f"        {line}\n" for line in lines)
    return (
        "from torchvision.models import resnet50\nclass M(nn.Module):\n    def __init__(self):\n"
        f"        super().__init__()\n        self.body = resnet50()\n{body}{rest}"
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(NETWORK + TRAIN, id="nothing is frozen"),
        pytest.param(NETWORK.replace("resnet18", "vgg16") + FREEZE + TRAIN, id="a network without batch norm"),
        pytest.param("def f(net):\n    net.requires_grad_(False)\n    loss(net).backward()", id="a network not seen"),
        pytest.param(NETWORK + FREEZE + TRAIN + "for m in net.modules():\n    m.eval()", id="each norm in eval mode"),
        pytest.param(NETWORK + FREEZE + TRAIN + "net.layer1.eval()", id="a part in eval mode"),
        pytest.param(NETWORK + FREEZE + "net.eval()\n" + TRAIN.removeprefix("net.train()\n"), id="all in eval mode"),
        pytest.param(NETWORK + FREEZE + TRAIN + FREEZE.replace("False", "True"), id="thawed again"),
        pytest.param(NETWORK + FREEZE, id="nothing is trained"),
        pytest.param(
            NETWORK + "for n, p in net.named_parameters():\n    if 'bn' not in n:\n"
            "        p.requires_grad = False\n" + TRAIN,
            id="batch norm is left out",
        ),
        pytest.param(NETWORK + "net.conv1.requires_grad_(False)\n" + TRAIN, id="one layer"),
        pytest.param(NETWORK.replace("net", "teacher") + FREEZE.replace("net", "teacher") + TRAIN, id="a teacher"),
        pytest.param(NETWORK.replace("net", "netD") + FREEZE.replace("net", "netD") + TRAIN, id="a GAN takes turns"),
        pytest.param("from torchvision.ops import FrozenBatchNorm2d\n" + NETWORK + FREEZE + TRAIN, id="frozen norms"),
        pytest.param(
            backbone("self.body.requires_grad_(False)", rest="    def train(self, mode=True):\n        return self"),
            id="an overridden train",
        ),
        pytest.param(
            backbone("self.body.requires_grad_(False)", "self.body.eval()"), id="a part of a module in eval mode"
        ),
        pytest.param(backbone("x = torch.ones(3).requires_grad_(False)"), id="a tensor"),
        pytest.param(NETWORK + "for p in net.fc.parameters():\n    p.requires_grad_(False)\n" + TRAIN, id="the head"),
        pytest.param(
            NETWORK
            + "for c in list(net.children())[-2:]:\n    for p in c.parameters():\n        p.requires_grad = False\n"
            + TRAIN,
            id="the last children",
        ),
        pytest.param(
            NETWORK + "for n, c in net.named_children():\n    if n in parts:\n        for p in c.parameters():\n"
            "            p.requires_grad = False\n" + TRAIN,
            id="children that are not known",
        ),
        pytest.param(
            NETWORK + "for c in heads:\n    for p in c.parameters():\n        p.requires_grad = False\n" + TRAIN,
            id="other modules",
        ),
        pytest.param(
            "net = build()\n" + "net = [net, net, net, net]\n" * 6 + FREEZE + TRAIN, id="a name for lists of itself"
        ),
        pytest.param("import pytest\n" + NETWORK + FREEZE + TRAIN, id="a unit test"),
        pytest.param(
            NETWORK
            + "for n, p in net.named_parameters():\n    if 'layer4' not in n:\n        p.requires_grad = False\n"
            + TRAIN,
            id="a stage of the trunk is left out",
        ),
        pytest.param(
            NETWORK
            + "for n, p in net.named_parameters():\n    if 'fc' in n:\n        p.requires_grad = False\n"
            + TRAIN,
            id="the head alone is frozen",
        ),
        pytest.param(
            NETWORK + "head = nn.Sequential(*list(net.children())[-1:])\nhead.requires_grad_(False)\n" + TRAIN,
            id="the last child alone",
        ),
        pytest.param(NETWORK + "setattr(net.fc.weight, 'requires_grad', False)\n" + TRAIN, id="setattr of one weight"),
        pytest.param(
            "from torchvision import models\ndef freeze(net):\n    for p in net.parameters():\n"
            "        p.requires_grad = False\nvgg = models.vgg16()\nfreeze(vgg)\n"
            "" + TRAIN.replace("net", "vgg"),
            id="a helper freezes a network without batch norm",
        ),
        pytest.param(
            NETWORK + "def freeze(net, on):\n    if on:\n        for p in net.parameters():\n"
            "            p.requires_grad = False\nfreeze(net, False)\n" + TRAIN,
            id="a helper that need not freeze",
        ),
        pytest.param(
            NETWORK + MAY_FREEZE + "freeze(net, args.freeze)\n" + TRAIN, id="a helper that an option tells to"
        ),
        pytest.param(
            NETWORK + MAY_FREEZE + "def thaw(part):\n    for p in part.parameters():\n        p.requires_grad = True\n"
            "freeze(net, True)\n" + TRAIN + "thaw(net)\n" + TRAIN,
            id="thawed again by a helper",
        ),
        pytest.param(
            NETWORK + MAY_FREEZE + "on = True\nif test:\n    on = False\nfreeze(net, on)\n" + TRAIN,
            id="a helper that a name with two values tells to",
        ),
        pytest.param(
            NETWORK + MAY_FREEZE + "def build(on):\n    freeze(net, on)\nbuild(True)\nbuild(False)\n" + TRAIN,
            id="a helper that one caller of two tells to",
        ),
        pytest.param(
            NETWORK + MAY_FREEZE.replace("if on:", "if not on:") + "freeze(net, True)\n" + TRAIN,
            id="a helper that is told not to",
        ),
        pytest.param(
            NETWORK
            + MAY_FREEZE.replace("    if on:", "    on = on and ready\n    if on:")
            + "freeze(net, True)\n"
            + TRAIN,
            id="a helper that asks for more",
        ),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("net.requires_grad_(  # for good\n    False)", id="a comment in the brackets"),
        pytest.param("net.requires_grad_((False))", id="brackets around the value"),
        pytest.param("net.requires_grad_(requires_grad = False)", id="by name"),
        pytest.param("net. \\\n    requires_grad_ \\\n    (False)", id="over lines"),
        pytest.param("for p in net.parameters(): p.requires_grad = p.frozen = False", id="two targets"),
        pytest.param("for p in net.parameters(): p.requires_grad = \\\n    (False)", id="a value on another line"),
        pytest.param("for p in net.parameters(): p.\\\n requires_grad =False", id="an attribute on another line"),
        pytest.param("for p in net.parameters(): setattr(p, 'requires_grad',  # no\n    False)", id="setattr"),
        pytest.param("[p.requires_grad_(False) for p in net. parameters()]", id="a list"),
    ],
)
def test_found_in_any_layout(line: str) -> None:
    text = NETWORK + line + "\n" + TRAIN
    assert len(report(rule, text).findings) == 1
    assert rule.thawed_norm.may_find("import torch\n" + text, {})


HERE = FREEZE.replace("parameters():", "parameters():  # here")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(NETWORK + HERE + TRAIN, id="fine-tuning"),
        pytest.param(NETWORK + "net.requires_grad_(False)  # here\n" + TRAIN, id="requires_grad_ of the network"),
        pytest.param(
            NETWORK + "for p in net.parameters():  # here\n    p.requires_grad_(False)\n" + TRAIN, id="of each"
        ),
        pytest.param(NETWORK + HERE.replace("p in net.p", "n, p in net.named_p") + TRAIN, id="named_parameters"),
        pytest.param(NETWORK + HERE + TRAIN.removeprefix("net.train()\n"), id="training mode from the start"),
        pytest.param(NETWORK + HERE + TRAIN + "net.eval()\nnet(v)", id="validated in eval mode"),
        pytest.param(NET + "net = Net()\n" + HERE + TRAIN, id="a network of this file"),
        pytest.param(
            NETWORK + "for c in list(net.children())[:-2]:\n    for p in c.parameters():  # here\n"
            "        p.requires_grad = False\n" + TRAIN,
            id="the first children",
        ),
        pytest.param(
            backbone(
                "for i, c in enumerate(self.body.children()):",
                "    if i < 7:",
                "        for p in c.parameters():  # here",
                "            p.requires_grad = False",
            ),
            id="the first children by their number",
        ),
        pytest.param(
            NETWORK + "if args.freeze:\n    net.requires_grad_(False)  # here\n" + TRAIN, id="under an option"
        ),
        pytest.param(backbone("self.body.requires_grad_(False)  # here"), id="a backbone"),
        pytest.param(
            backbone("for p in self.body.parameters():  # here", "    p.requires_grad = False"), id="in a loop"
        ),
        pytest.param(
            NETWORK + "for p in net.parameters():  # here\n    setattr(p, 'requires_grad', False)\n" + TRAIN,
            id="setattr",
        ),
        pytest.param(
            NETWORK + "[p.requires_grad_(False) for p in net.parameters()]  # here\n" + TRAIN, id="a comprehension"
        ),
        pytest.param(
            NETWORK
            + "for n, p in net.named_parameters():  # here\n    if 'fc' not in n:\n        p.requires_grad = False\n"
            + TRAIN,
            id="all but the head",
        ),
        pytest.param(
            NETWORK + "for n, p in net.named_parameters():  # here\n    if not n.startswith('fc.'):\n"
            "        p.requires_grad = False\n" + TRAIN,
            id="all that does not start as the head",
        ),
        pytest.param(
            NETWORK + "for child in net.children():\n    for p in child.parameters():  # here\n"
            "        p.requires_grad = False\n" + TRAIN,
            id="child by child",
        ),
        pytest.param(
            NETWORK + "trunk = nn.Sequential(*list(net.children())[:-1])\nfor p in trunk.parameters():  # here\n"
            "    p.requires_grad = False\n" + TRAIN,
            id="a trunk of children",
        ),
        pytest.param(
            backbone(
                "layers = list(self.body.children())[:-2]",
                "self.trunk = nn.Sequential(*layers)",
                "self.trunk.requires_grad_(False)  # here",
            ),
            id="a trunk built from a list",
        ),
        pytest.param(
            NETWORK + "def freeze(part):\n    for p in part.parameters():\n"
            "        p.requires_grad = False\nfreeze(net)  # here\n" + TRAIN,
            id="a helper freezes it",
        ),
        pytest.param(NETWORK + MAY_FREEZE + "freeze(net, on=True)  # here\n" + TRAIN, id="a helper that is told to"),
        pytest.param(
            NETWORK + MAY_FREEZE + "extract = True\ndef build(extract):\n    net = models.resnet18()\n"
            "    freeze(net, extract)  # here\n    return net\nnet = build(extract)\n" + TRAIN,
            id="a helper that the callers of its caller tell to",
        ),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "warning")


def tensor(grad: bool) -> Tensor:
    return Tensor((4,), "float32", "cpu", list, requires_grad=grad)


def check(training: bool, grad: bool, purpose: str | None = "training", head: bool = True, affine: bool = True) -> int:
    state = {"running_mean": tensor(False)} | ({"weight": tensor(grad), "bias": tensor(grad)} if affine else {})
    norm = Layer("BatchNorm2d", "bn", Site(module="bn"), state=state, training=training)
    linear = Layer("Linear", "fc", Site(module="fc"), state={"weight": tensor(head)}, training=training)
    graph = LayerGraph("Net", [norm, linear])
    return len(engine.run(engine.Facts("model", purpose=purpose), [rule.frozen_and_moving], [graph]).findings)


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(check(True, True), id="trained"),
        pytest.param(check(False, False), id="frozen in eval mode"),
        pytest.param(check(True, False, purpose="inference"), id="for inference"),
        pytest.param(check(True, False, head=False), id="nothing is trained"),
        pytest.param(check(True, False, affine=False), id="no parameters to freeze"),
    ],
)
def test_live_silent(count: int) -> None:
    assert count == 0


def test_live_found() -> None:
    assert check(True, False) == 1


def test_all_but_the_parameters_of_the_head() -> None:
    freeze = "for name, p in net.named_parameters():  # here\n    if name not in {}:\n        p.requires_grad = False\n"
    fires(rule, NETWORK + freeze.format("['fc.weight', 'fc.bias']") + TRAIN)
    silent(rule, NETWORK + freeze.format("['bn1.weight', 'fc.bias']") + TRAIN)
    silent(rule, NETWORK + freeze.format("['fc.weight', 'fc.bias']") + TRAIN.replace("net.train()", "net.eval()"))
