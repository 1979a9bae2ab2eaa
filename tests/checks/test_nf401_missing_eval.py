"""NF401 missing-eval: look-alikes first, then the misuse in its spellings, then live models."""

import pytest
from source_findings import NET, PLAIN, fires, report, silent

from normfix import engine
from normfix.checks import nf401_missing_eval as rule
from normfix.findings import InsertStatement, Safety
from normfix.graph import Argument, Layer, LayerGraph, Site
from normfix.readers import scripts

BROAD = {"missing-eval": "broad"}
EXPORT = "torch.onnx.export(net, x, 'net.onnx')"
EXPORT_OUT = EXPORT.replace("net, x", "out, x")
WRAPPER = """
class Out(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x).softmax(-1)
"""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"net = Net()\nnet.eval()\n{EXPORT}", id="eval is called"),
        pytest.param(f"net = Net().eval()\n{EXPORT}", id="eval in the chain"),
        pytest.param(f"net = Net()\nnet = net.to('cpu').eval()\n{EXPORT}", id="eval in a later chain"),
        pytest.param(f"net = Net()\nnet.train(False)\n{EXPORT}", id="train(False)"),
        pytest.param(f"net = Net()\nm = nn.DataParallel(net)\nm.eval()\n{EXPORT}", id="eval on the wrapper"),
        pytest.param(f"net, other = Net(), Net()\nfor m in (net, other):\n    m.eval()\n{EXPORT}", id="eval in a loop"),
        pytest.param("torch.onnx.export(Net().eval(), x, 'net.onnx')", id="eval inside the call"),
        pytest.param("def f(net):\n    " + EXPORT, id="the model is a parameter"),
        pytest.param("net = build()\n" + EXPORT, id="an unknown function builds it"),
        pytest.param("from lib import build\nnet = build()\n" + EXPORT, id="an imported function builds it"),
        pytest.param("from lib import UNet\nnet = UNet()\n" + EXPORT, id="an imported class without weights"),
        pytest.param("net = torch.load('net.pt')\n" + EXPORT, id="a pickled model keeps its mode"),
        pytest.param("net = torch.jit.load('net.pt')\n" + EXPORT, id="a scripted model keeps its mode"),
        pytest.param(
            "from transformers import AutoModel\nnet = AutoModel.from_pretrained('x')\n" + EXPORT,
            id="from_pretrained gives eval mode",
        ),
        pytest.param(
            f"def build():\n    net = Net()\n    net.eval()\n    return net\nnet = build()\n{EXPORT}",
            id="the builder calls eval",
        ),
        pytest.param(f"def load(m):\n    m.eval()\nnet = Net()\nload(net)\n{EXPORT}", id="a helper calls eval"),
        pytest.param(f"from lib import load\nnet = Net()\nload(net, p)\n{EXPORT}", id="an imported helper may call it"),
        pytest.param("net = Net()\ntorch.onnx.export(net, x, f, training=mode)", id="the export chooses the mode"),
        pytest.param("net = Net()\ntorch.onnx.export(net, x, f, dynamo=False)", id="the old exporter switches to eval"),
        pytest.param("net = Net()\ntorch.jit.script(net)", id="a script obeys eval later"),
        pytest.param("def f(x):\n    return x\ntorch.jit.trace(f, x)", id="a traced function"),
        pytest.param("import pytest\nnet = Net()\n" + EXPORT, id="a unit test"),
        *(
            pytest.param(WRAPPER + use, id=f"wrapped: {reason}")
            for reason, use in {
                "eval before": "net = Net()\nnet.eval()\nout = Out(net)\n" + EXPORT_OUT,
                "eval between": "net = Net()\nout = Out(net)\nnet.eval()\n" + EXPORT_OUT,
                "eval on the wrapper": "net = Net()\nout = Out(net)\nout.eval()\n" + EXPORT_OUT,
                "eval in the chain": "net = Net()\nout = Out(net).eval()\n" + EXPORT_OUT,
                "eval on another wrapper": "net = Net()\nout, o = Out(net), Box(net)\no.eval()\n" + EXPORT_OUT,
                "a second wrapper": "net = Net()\nout, o = Out(net), Out(net)\no.eval()\n" + EXPORT_OUT,
                "not seen": "net = build()\nout = Out(net)\n" + EXPORT_OUT,
                "a parameter": "def f(net):\n    out = Out(net)\n    " + EXPORT_OUT,
                "a helper calls eval": "def ready(m):\n    m.eval()\nnet = Net()\nready(net)\nout = Out(net)\n"
                + EXPORT_OUT,
            }.items()
        ),
        pytest.param(
            WRAPPER.replace("self.net = net", "self.net = net.eval()") + "net = Net()\nout = Out(net)\n" + EXPORT_OUT,
            id="wrapped: the wrapper calls eval",
        ),
        pytest.param(f"net = Net()\n{EXPORT}\nnet.eval()", id="eval behind it, in a cell that may run again"),
        pytest.param(
            f"def f():\n    net = Net()\n    for x in xs:\n        {EXPORT}\n        net.eval()",
            id="eval in the round before",
        ),
        pytest.param(
            f"def f():\n    net = Net()\n    if early:\n        net.eval()\n    {EXPORT}\n    net.train()",
            id="eval before, by an option",
        ),
        pytest.param("net = Net()\nif quick:\n    net = other\n" + EXPORT, id="built in two ways"),
        pytest.param("class S:\n    def f(self):\n        " + EXPORT.replace("net,", "self.net,"), id="self.net"),
    ],
)
def test_exports_silent(text: str) -> None:
    silent(rule, NET + text)


def test_an_export_of_a_network_that_eval_does_not_change() -> None:
    silent(rule, PLAIN + "net = Net()\n" + EXPORT)


def test_a_class_that_calls_eval_itself() -> None:
    silent(rule, NET.replace("8)\n\n", "8)\n        self.eval()\n\n") + "net = Net()\n" + EXPORT)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"net = Net()\n{EXPORT}  # here", id="onnx"),
        pytest.param("net = Net()\ntorch.jit.trace(net, x)  # here", id="trace"),
        pytest.param("net = Net()\ntorch.jit.trace(func=net, example_inputs=x)  # here", id="keyword"),
        pytest.param("net = Net()\nprogram = torch.export.export(net, (x,))  # here", id="torch.export"),
        pytest.param("torch.jit.trace(Net(), x).save('n.pt')  # here", id="built in place"),
        pytest.param(f"net = Net().to('cuda')\nnet.load_state_dict(w)\n{EXPORT}  # here", id="weights are loaded"),
        pytest.param(f"def main():\n    net = Net()\n    {EXPORT}  # here", id="in a function"),
        pytest.param(f"def f():\n    net = Net()\n    {EXPORT}  # here\n    net.eval()", id="eval comes too late"),
        pytest.param(
            f"{WRAPPER}net = Net()\nnet.load_state_dict(w)\nout = Out(net).to('cpu')\n{EXPORT_OUT}  # here",
            id="in a wrapper of the file",
        ),
        pytest.param(f"with torch.no_grad():\n    net = Net()\n    {EXPORT}  # here", id="no_grad is not eval"),
        pytest.param("net = nn.DataParallel(Net())\ntorch.jit.trace(net.module, x)  # here", id="behind a wrapper"),
        pytest.param("from torch.jit import trace\nnet = Net()\ntrace(net, x)  # here", id="trace imported by name"),
        pytest.param(
            f"from torchvision import models\nnet = models.resnet50(weights='DEFAULT')\n{EXPORT}  # here",
            id="a torchvision network",
        ),
        pytest.param(f"import timm\nnet = timm.create_model('resnet50')\n{EXPORT}  # here", id="a timm network"),
        pytest.param(
            f"from lib import UNet\nnet = UNet()\nnet.load_state_dict(w)\n{EXPORT}  # here",
            id="an imported class with loaded weights",
        ),
        pytest.param(f"def build():\n    return Net()\nnet = build()\n{EXPORT}  # here", id="a builder of this file"),
        pytest.param(f"net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))\n{EXPORT}  # here", id="dropout only"),
    ],
)
def test_exports_found(text: str) -> None:
    fires(rule, NET + text, "warning")


def test_an_export_of_a_network_in_the_file_beside() -> None:
    beside = scripts.read("from torch import nn\n" + NET, "model.py")
    fires(rule, f"from model import Net\nnet = Net()\n{EXPORT}  # here", sibling=lambda name: (beside, "Net"))
    plain = scripts.read("from torch import nn\n" + PLAIN, "model.py")
    silent(
        rule,
        f"from model import Net\nnet = Net()\nnet.load_state_dict(w)\n{EXPORT}",
        sibling=lambda name: (plain, "Net"),
    )


def kept(*lines: str, build: str = "Net()", bases: str = "", use: str = "Tool().run(x)") -> str:
    """A class that builds a network in its constructor, and what its method does with it."""
    body = "".join(f"        {line}\n" for line in lines)
    return (
        f"class Tool{bases}:\n    def __init__(self):\n        self.net = {build}\n"
        "        self.net.load_state_dict(torch.load('w.pt'))\n\n"
        f"    def run(self, x):\n{body}{use}\n"
    )


OWN_EXPORT = "torch.onnx.export(self.net, x, 'net.onnx')"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(kept("self.net.eval()", OWN_EXPORT), id="eval() in the method"),
        pytest.param(kept(OWN_EXPORT, build="Net().eval()"), id="eval() where it is built"),
        pytest.param(kept(OWN_EXPORT, use="tool = Tool()\ntool.net.eval()\ntool.run(x)"), id="eval() from outside"),
        pytest.param(kept(OWN_EXPORT, use=""), id="a class for other files"),
        pytest.param(kept(OWN_EXPORT, bases="(Base)"), id="a class with a base that may switch"),
        pytest.param(kept(OWN_EXPORT, build="load()"), id="built elsewhere"),
        pytest.param(
            kept("with torch.no_grad():", "    y = self.net(x)", "    return y", use=""), id="evaluated for others"
        ),
        pytest.param(
            kept("with torch.no_grad():", "    y = self.net(x)", "y.sum().backward()"), id="a method that trains"
        ),
    ],
)
def test_networks_of_objects_silent(text: str) -> None:
    silent(rule, NET + text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(kept(OWN_EXPORT + "  # here"), id="an export"),
        pytest.param(kept("with torch.no_grad():", "    return self.net(x)  # here"), id="an evaluation"),
        pytest.param(kept("with torch.no_grad():", "    return self.net.decode(x)  # here"), id="a part of it"),
    ],
)
def test_networks_of_objects_found(text: str) -> None:
    fires(rule, NET + text, "warning")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("    import timm\n    net = timm.create_model('resnet50')", id="imported within the function"),
        pytest.param("    from timm import create_model\n    net = create_model('resnet50')", id="the function alone"),
        pytest.param(
            "    net = torch.hub.load('pytorch/vision:v0.10.0', 'resnet18')", id="torchvision through the hub"
        ),
    ],
)
def test_library_networks_found(text: str) -> None:
    fires(rule, f"def export(x):\n{text}\n    {EXPORT}  # here\n", "warning")


def test_another_hub_may_give_any_mode() -> None:
    silent(rule, f"net = torch.hub.load('someone/models', 'resnet18')\n{EXPORT}")


LOADED = "net = Net()\nnet.load_state_dict(torch.load('w.pt'))\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(LOADED + "net.eval()\nwith torch.no_grad():\n    y = net(x)", id="eval is called"),
        pytest.param(
            LOADED + "with torch.no_grad():\n    net(x)", id="the result is dropped: statistics are collected"
        ),
        pytest.param(LOADED + "with torch.no_grad():\n    y = net(torch.randn(1, 3, 8, 8))", id="a smoke test"),
        pytest.param(LOADED + "z = torch.randn(4, 8)\nwith torch.no_grad():\n    y = net(z)", id="a GAN sample"),
        pytest.param("net = Net()\nwith torch.no_grad():\n    y = net(x)", id="no weights were loaded"),
        pytest.param(
            "from torchvision.models import resnet18\nm = resnet18(weights=None)\nwith torch.no_grad():\n    y = m(x)",
            id="no weights in words",
        ),
        pytest.param("def f(net):\n    with torch.no_grad():\n        return net(x)", id="the caller is not seen"),
        pytest.param(LOADED + "y = net(x)", id="with gradients"),
        pytest.param(LOADED + "with torch.no_grad():\n    n = net.parameters(x)", id="no forward pass"),
        pytest.param(LOADED + "with torch.no_grad():\n    net.optimizer.step(x)", id="a step of something it holds"),
        pytest.param(
            LOADED + "for x in data:\n    with torch.no_grad():\n        t = net(x)\n    loss(t).backward()",
            id="a teacher in a training loop",
        ),
        pytest.param(
            LOADED + "def mc_dropout():\n    with torch.no_grad():\n        return net(x)", id="dropout at test time"
        ),
        pytest.param(LOADED + "net.train()\nwith torch.no_grad():\n    y = net(x)", id="training mode on purpose"),
        pytest.param(
            "def f(net):\n    with torch.no_grad():\n        return net(x)\n" + LOADED + "net.eval()\nf(net)",
            id="the caller calls eval",
        ),
        pytest.param(
            "from lib import prepare\n" + LOADED + "prepare(net)\nwith torch.no_grad():\n    y = net(x)",
            id="an imported helper may call it",
        ),
        pytest.param("import pytest\n" + LOADED + "with torch.no_grad():\n    y = net(x)", id="a unit test"),
    ],
)
def test_evaluations_silent(text: str) -> None:
    silent(rule, NET + text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(LOADED + "with torch.no_grad():\n    y = net(x)  # here", id="no_grad"),
        pytest.param(LOADED + "with torch.inference_mode():\n    y = net(x)  # here", id="inference_mode"),
        pytest.param(
            "from torchvision.models import resnet18\n@torch.no_grad()\ndef predict(x):\n"
            "    model = resnet18(weights='DEFAULT').cuda()\n    return model(x).softmax(-1)  # here",
            id="pretrained weights",
        ),
        pytest.param(
            "def other():\n    net = Net()\n    net.eval()\ndef predict(x):\n    net = Net()\n"
            "    net.load_state_dict(w)\n    with torch.no_grad():\n        return net(x)  # here",
            id="eval of another network of that name",
        ),
        pytest.param(LOADED + "with torch.no_grad():\n    y = net.forward(x)  # here", id="forward in words"),
        pytest.param(LOADED + "with torch.no_grad():\n    y = net.decoder(x)  # here", id="a part of it"),
        pytest.param(
            LOADED + "with torch.set_grad_enabled(False):\n    for x in data:\n        y = net(x)  # here",
            id="set_grad_enabled",
        ),
        pytest.param(
            "net = Net()\ntorch.set_grad_enabled(False)\nfor x in data:\n    y = net(x)  # here",
            id="gradients off for good",
        ),
        pytest.param(
            "@torch.no_grad()\ndef test(model, data):\n    return [model(x) for x in data]  # here\n"
            + LOADED
            + "test(net, data)",
            id="evaluated in a helper",
        ),
        pytest.param(
            "def main():\n    net = Net().cuda()\n    net.load_state_dict(w)\n    with torch.no_grad():\n"
            "        for x in data:\n            hits += (net(x).argmax(1) == y).sum()  # here",
            id="in main",
        ),
        pytest.param(
            "from torchvision import models\nnet = models.resnet18(True)\nwith torch.no_grad():\n"
            "    for x in data:\n        out.append(net(x))  # here",
            id="pretrained by position",
        ),
    ],
)
def test_evaluations_found(text: str) -> None:
    fires(rule, NET + text, "warning")


def test_broad_takes_models_that_are_not_seen_to_be_built() -> None:
    text = "def validate(model, data):\n    with torch.no_grad():\n        return [model(x) for x in data]  # here"
    silent(rule, text)
    fires(rule, text, options=BROAD)
    silent(rule, text.replace("with", "model.eval()\n    with"), options=BROAD)


def test_the_remedies_stand_before_the_statement() -> None:
    (finding,) = report(rule, NET + f"def f():\n    net = Net()\n    {EXPORT}").findings
    assert isinstance(finding.remedy, InsertStatement)
    assert finding.remedy.text == "net.eval()"
    assert finding.safety is Safety.UNSAFE
    (finding,) = report(rule, NET + LOADED + "with torch.no_grad():\n    for x in data:\n        y = net(x)").findings
    assert isinstance(finding.remedy, InsertStatement)
    assert finding.remedy.site.origin is not None
    assert finding.line == finding.remedy.site.origin.line + 2


def check(*layers: Layer, purpose: str | None = "inference") -> list[tuple[str, str | None]]:
    facts = engine.Facts("model", purpose=purpose)
    found = engine.run(facts, [rule.model_in_training_mode], [LayerGraph("Net", list(layers))]).findings
    return [(str(one.severity), one.module) for one in found]


def layer(kind: str, training: bool, **arguments: object) -> Layer:
    given = {name: Argument(value) for name, value in arguments.items()}
    return Layer(kind, kind, Site(module=kind), given, training=training)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(check(layer("BatchNorm2d", False)), id="in eval mode"),
        pytest.param(check(layer("BatchNorm2d", True), purpose="training"), id="for training"),
        pytest.param(check(layer("BatchNorm2d", True), purpose=None), id="for nothing in particular"),
        pytest.param(check(layer("GroupNorm", True)), id="group norm does not care"),
        pytest.param(check(layer("InstanceNorm2d", True)), id="instance norm without running statistics"),
        pytest.param(check(layer("BatchNorm2d", True, track_running_stats=False)), id="batch statistics either way"),
        pytest.param(check(layer("Dropout", True, p=0.0)), id="dropout of nothing"),
        pytest.param(check(layer("Linear", True)), id="a layer without modes"),
    ],
)
def test_live_silent(found: list[object]) -> None:
    assert found == []


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(check(layer("BatchNorm2d", True)), id="batch norm"),
        pytest.param(check(layer("Dropout", True)), id="dropout"),
        pytest.param(check(layer("InstanceNorm2d", True, track_running_stats=True)), id="tracked instance norm"),
        pytest.param(check(layer("BatchNorm2d", False), layer("SyncBatchNorm", True)), id="one of two"),
        pytest.param(check(layer("BatchNorm2d", True), layer("Dropout", True)), id="one finding for a model"),
    ],
)
def test_live_found(found: list[tuple[str, str | None]]) -> None:
    assert [severity for severity, _ in found] == ["error"]


def test_one_undecided_export_does_not_hide_the_next() -> None:
    text = NET + f"a = torch.load('a.pt')\ntorch.jit.trace(a, x)\nnet = Net()\n{EXPORT}"
    found = report(rule, text)
    assert [one.code for one in found.findings] == ["NF401"]
    assert [one.reason for one in found.undecided] == ["the mode of what `torch.load` returns is not known"]


FIT = """
def fit(model, data):
    model.train()
    for x, y in data:
        F.mse_loss(model(x), y).backward()
"""
VALIDATE = """
def validate(model, held_out):
    with torch.no_grad():
        for x, y in held_out:
            print(F.mse_loss(model(x), y))  # here
"""
EPOCHS = """
net = Net()
for epoch in range(9):
    fit(net, data)
    validate(net, held_out)
"""
TRAINED = NET + FIT + VALIDATE + EPOCHS
PHASES = (
    NET + "net = Net()\nfor epoch in range(9):\n    for phase in ['train', 'val']:\n        net.train()\n"
    "        for x, y in data[phase]:\n            with torch.set_grad_enabled(phase == 'train'):\n"
    "                loss = F.mse_loss(net(x), y)  # here\n"
    "                if phase == 'train':\n                    loss.backward()"
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(TRAINED.replace("    with torch", "    model.eval()\n    with torch"), id="eval is called"),
        pytest.param(TRAINED.replace("    validate(", "    net.eval()\n    validate("), id="the loop calls eval"),
        pytest.param(PLAIN + FIT + VALIDATE + EPOCHS, id="a network that eval does not change"),
        pytest.param(TRAINED.replace("with torch.no_grad()", "if True"), id="gradients are on"),
        pytest.param(TRAINED.replace("def validate", "def warm_up").replace("validate(", "warm_up("), id="a warm-up"),
        pytest.param(TRAINED.replace("validate", "targets").replace("held_out", "data"), id="no data for evaluation"),
        pytest.param(TRAINED.replace("print(F.mse_loss(model(x), y))", "model(x)"), id="the result is dropped"),
        pytest.param(TRAINED.replace("model(x), y))", "model(torch.randn(1, 3)), y))"), id="a made-up input"),
        pytest.param(
            TRAINED.replace("    validate(net", "    freeze(net)\n    validate(net"), id="a helper that is not seen"
        ),
        pytest.param(
            TRAINED.replace("    model.train()\n", "").replace("    validate(net", "    net.eval()\n    validate(net"),
            id="eval, and train nowhere",
        ),
        pytest.param(
            NET + "net, teacher = Net(), Net()\nnet.train()\nteacher.train()\nfor x, y in test_like:\n"
            "    with torch.no_grad():\n        soft = teacher(x)\n    F.mse_loss(net(x), soft).backward()",
            id="a teacher beside the steps of the training",
        ),
        *(
            pytest.param(
                PHASES.replace("net.train()", f"net.train({mode})").replace("  # here", ""), id=f"train({mode})"
            )
            for mode in ("phase == 'train'", "not held_out", "on and phase", "mode=phase != 'val'")
        ),
        pytest.param("import pytest\n" + TRAINED, id="a unit test"),
        pytest.param(
            TRAINED.replace("for epoch in range(9):\n    fit(net, data)\n", "").replace(
                "    validate(net", "validate(net"
            ),
            id="a network that nothing trains",
        ),
    ],
)
def test_validations_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(TRAINED, id="after a training epoch"),
        pytest.param(TRAINED.replace("    model.train()\n", ""), id="with no switch at all"),
        pytest.param(
            TRAINED + "def test(model):\n    model.eval()\n    return model(x)\ntest(net)\n",
            id="eval in a later function",
        ),
        pytest.param(
            NET + "net = Net()\nnet = net.to('cuda')\nfor epoch in range(9):\n    net.train()\n"
            "    for x, y in train_data: F.mse_loss(net(x), y).backward()\n"
            "    with torch.no_grad():\n        for x, y in val_data:\n            total += net(x).sum()  # here",
            id="in one loop",
        ),
        pytest.param(
            NET + "class Trainer:\n    def __init__(self):\n        self.net = Net()\n"
            "    def train(self):\n        self.net.train()\n"
            "        for x, y in self.data: F.mse_loss(self.net(x), y).backward()\n"
            "    @torch.no_grad()\n    def validate(self):\n"
            "        return [y - self.net(x) for x, y in self.val]\n"
            "    def test(self):\n        for x, y in self.val:\n            with torch.no_grad():\n"
            "                self.log(self.net(x))  # here\n"
            "    def run(self):\n        for e in range(9):\n            self.train()\n            self.test()",
            id="in an object",
        ),
        pytest.param(
            PHASES.replace("        net.train()", "        if phase == 'train':\n            net.train()"),
            id="in a phase",
        ),
    ],
)
def test_validations_found(text: str) -> None:
    fires(rule, text)


def test_weights_that_a_function_of_the_file_loads() -> None:
    load = NET + "def load(path):\n    net = Net()\n    net.load_state_dict(torch.load(path))\n    return net\n"
    run = "def main():\n    net = load('net.pt')\n    with torch.no_grad():\n        return [net(x) for x in data]"
    fires(rule, load + run.replace("]", "]  # here"))
    silent(rule, load.replace("    return", "    net.eval()\n    return") + run)
    silent(rule, load.replace("    return", "    prepare(net)\n    return") + run)
