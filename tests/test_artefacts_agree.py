"""The same misuse, found in the source, in the live model made of it, in its ONNX export, in its saved program and in
its checkpoint. A rule that several readers can see stands here with all of them."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType

import onnx
import pytest
import torch
from onnx import helper
from safetensors.torch import save_file
from torch import nn

import normfix
from normfix import engine
from normfix.checking.run import check_file

IMAGE = (4, 3, 8, 8)
HEAD = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n\n\n"
NET = HEAD + (
    "class Net(nn.Module):\n"
    "    def __init__(self):\n"
    "        super().__init__()\n"
    "        {init}\n\n"
    "    def forward(self, x):\n"
    "        {forward}\n\n\n"
    "{more}"
)
ALL = ("source", "model", "onnx", "pt2", "state")


def net(*init: str, forward: str, more: str = "") -> str:
    """The source of a network; `forward` may be several statements."""
    text = {"init": init, "forward": forward.split("; ")}
    return NET.format(**{name: "\n        ".join(lines) for name, lines in text.items()}, more=more)


def chain(*layers: str) -> str:
    """The source of a network that runs layers one after the other."""
    return net(f"self.net = nn.Sequential({', '.join(layers)})", forward="return self.net(x)")


def alone(name: str, forward: str, more: str = "") -> str:
    """The source of a network around one hand-written module."""
    module = f"class {name}(nn.Module):\n    def forward(self, x):\n        return {forward}\n\n\n"
    text = net("self.conv = nn.Conv2d(3, 4, 1)", f"self.norm = {name}()", forward="return self.norm(self.conv(x))")
    return text.replace("class Net", f"{module}{more}class Net", 1)


@dataclass(frozen=True)
class Misuse:
    """One network, the readers that must find the misuse in it, and how it is made and planned."""

    text: str
    readers: tuple[str, ...]
    change: Callable[[nn.Module], nn.Module] = lambda model: trained(model)
    """What has become of the model when it is checked."""
    purpose: str | None = "inference"
    batch_size: int | None = None
    shape: tuple[int, ...] = IMAGE
    exported: str = ""
    """Another network for ONNX, where the exporter takes the layers of this one apart."""
    export: Callable[[nn.Module, torch.Tensor, str], None] = lambda model, x, path: export(model, x, path)


def export(model: nn.Module, x: torch.Tensor, path: str) -> None:
    torch.onnx.export(model, (x,), path, dynamo=True, optimize=False, verbose=False)


def export_in_training_mode(model: nn.Module, x: torch.Tensor, path: str) -> None:
    torch.onnx.export(model, (x,), path, dynamo=False, training=torch.onnx.TrainingMode.TRAINING)


def write_lrn(model: nn.Module, x: torch.Tensor, path: str) -> None:
    """As frameworks write it that have such a layer; torch computes it from average pooling."""
    value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, x.shape) for name in ("x", "y")]
    node = helper.make_node("LRN", ["x"], ["y"], size=4)
    onnx.save(helper.make_model(helper.make_graph([node], "lrn", value[:1], value[1:])), path)


def trained(model: nn.Module) -> nn.Module:
    """Statistics and weights that look like those of training."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for module in model.modules():
            if getattr(module, "running_mean", None) is not None:
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
            if "Norm" in type(module).__name__ and getattr(module, "weight", None) is not None:
                nn.init.uniform_(module.weight, 0.5, 2)
                if getattr(module, "bias", None) is not None:
                    nn.init.normal_(module.bias)
    return model.eval()


def spoiled(name: str, value: float, channel: int = 2) -> Callable[[nn.Module], nn.Module]:
    """The trained model with one wrong number in its norm."""

    def spoil(model: nn.Module) -> nn.Module:
        norm = next(module for module in trained(model).modules() if isinstance(module, nn.BatchNorm2d))
        with torch.no_grad():
            getattr(norm, name)[channel] = value
        return model

    return spoil


def counted(model: nn.Module) -> nn.Module:
    """As a training loop with activation checkpointing leaves it."""
    trained(model).train()
    for _ in range(3):
        model(torch.randn(IMAGE, requires_grad=True)).sum().backward()
    return model


def opaque(model: nn.Module) -> nn.Module:
    """Stands for the wrapper of Opacus."""
    wrapper = type("GradSampleModule", (nn.Module,), {})()
    wrapper._module = model
    return wrapper


def twins(model: nn.Module) -> nn.Module:
    return nn.SyncBatchNorm.convert_sync_batchnorm(trained(model))


def parallel(model: nn.Module) -> nn.Module:
    return nn.DataParallel(nn.SyncBatchNorm.convert_sync_batchnorm(model))


def frozen_parameters(model: nn.Module) -> nn.Module:
    trained(model).train().net[1].requires_grad_(False)
    return model


def split(model: nn.Module) -> nn.Module:
    model.net[1].num_groups = 3
    return model


def toggled(model: nn.Module) -> nn.Module:
    trained(model).net[1].track_running_stats = False
    return model


CONV, NORM = "nn.Conv2d(3, 4, 3, bias=False)", "nn.BatchNorm2d(4)"
BLOCK = chain(CONV, NORM, "nn.ReLU()")
BIASED = chain("nn.Conv2d(3, 4, 3)", NORM)
MEAN = "x.mean(1, keepdim=True)"
HAND = f"(x - {MEAN}) / torch.sqrt(((x - {MEAN}) ** 2).mean(1, keepdim=True) + 1e-5)"
SEQUENCE = net(
    "self.lstm, self.norm = nn.LSTM(8, 3, batch_first=True), nn.BatchNorm1d(3)",
    forward="states, _ = self.lstm(x); return self.norm(states)",
)
FUNCTIONAL = net(
    "self.conv = nn.Conv2d(3, 4, 3)", 'self.register_buffer("mean", torch.zeros(4))',
    'self.register_buffer("var", torch.ones(4))',
    forward="return F.batch_norm(self.conv(x), self.mean, self.var, training=True)",
)  # fmt: skip
SHARED = net(
    "self.first, self.second = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False)",
    "self.norm = nn.BatchNorm2d(3)",
    forward="x = self.norm(self.first(x)).relu(); return self.norm(self.second(x))",
)
UNUSED = net("self.norm = nn.BatchNorm2d(3)", "self.idle = nn.LayerNorm(3)", forward="return self.norm(x)")
CHECKPOINTED = net(
    "self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))", "self.last = nn.BatchNorm2d(4)",
    forward="from torch.utils.checkpoint import checkpoint; "
    "return self.last(checkpoint(self.body, x, use_reentrant=False))",
)  # fmt: skip
OVERRIDE = NET.replace("{more}", "    def train(self):\n        return super().train()\n").format(
    init="self.norm = nn.BatchNorm2d(3)", forward="return self.norm(x)"
)
TWO_NAMES = net(
    "self.norm = self.again = LocalNorm(3)", forward="return self.again(self.norm(x).relu())",
    more="def convert():\n    model = Net()\n    return nn.SyncBatchNorm.convert_sync_batchnorm(model)\n",
).replace(
    "class Net",
    "class LocalNorm(nn.BatchNorm2d):\n    def forward(self, x):\n        return super().forward(x)\n\n\nclass Net", 1,
)  # fmt: skip
EVALUATE = "\n\ndef evaluate():\n    model = Net()\n    torch.onnx.export(model, torch.randn(2, 3, 8, 8), 'net.onnx')\n"
WRAP = "\n\ndef wrap():\n    model = Net()\n    {}\n    return {}\n"
CONVERT = "model = nn.SyncBatchNorm.convert_sync_batchnorm(model)"
SM, SMO = ("source", "model"), ("source", "model", "onnx")
MISUSES: dict[str, Misuse] = {
    "NF101": Misuse(chain(CONV, "nn.BatchNorm2d(4, 0.8)"), SMO),
    "NF102": Misuse(chain(CONV, "nn.BatchNorm2d(4, momentum=0.99)"), SMO),
    "NF103": Misuse(chain(CONV, "nn.BatchNorm2d(4, momentum=0)"), SM),
    "NF104": Misuse(chain(CONV, "nn.LayerNorm([4, 6, 6], eps=0)"), SMO),
    "NF105": Misuse(chain(CONV, "nn.GroupNorm(2, 4)") + "\n\ndef other():\n    return nn.GroupNorm(8, 4)\n", SM, split),
    "NF106": Misuse(chain(CONV, "nn.LocalResponseNorm(4)"), SMO, export=write_lrn),
    "NF107": Misuse(chain("nn.Conv2d(3, 4, 3)", "nn.RMSNorm(6)"), SM),
    "NF201": Misuse(chain("nn.Conv2d(3, 6, 3)", "nn.LayerNorm(6)"), SMO),
    "NF202": Misuse(chain(CONV, "nn.BatchNorm2d(8, affine=False, track_running_stats=False)"), SM),
    "NF203": Misuse(chain("nn.AdaptiveAvgPool2d(1)", CONV.replace("4, 3", "4, 1"), "nn.LayerNorm(1)"), SMO),
    "NF204": Misuse(chain("nn.Conv2d(3, 4, 7)", "nn.InstanceNorm2d(4)"), ("model", "onnx")),
    "NF205": Misuse(SEQUENCE, SMO, shape=(4, 3, 8), exported=chain("nn.Linear(8, 3)", "nn.BatchNorm1d(3)")),
    "NF206": Misuse(chain("nn.Conv2d(3, 4, 3)", "nn.LayerNorm([4, 6, 6])"), SMO),
    "NF207": Misuse(chain(CONV, "nn.BatchNorm1d(4)"), SM),
    "NF301": Misuse(BIASED, SMO),
    "NF302": Misuse(chain(CONV, NORM, NORM), SMO),
    "NF303": Misuse(chain(CONV, "nn.Dropout(0.5)", NORM), SM, lambda model: trained(model).train(), "training"),
    "NF304": Misuse(UNUSED, SM),
    "NF305": Misuse(chain("nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3, bias=False))", NORM), SM),
    "NF306": Misuse(BLOCK, ("model", "onnx", "pt2")),
    "NF307": Misuse(alone("Other", HAND), ("model", "onnx")),
    "NF401": Misuse(BLOCK + EVALUATE, SM, lambda model: trained(model).train()),
    "NF404": Misuse(OVERRIDE, SM, lambda model: model),
    "NF405": Misuse(
        BLOCK + EVALUATE.replace("'net.onnx'", "'net.onnx', training=torch.onnx.TrainingMode.TRAINING"),
        ("source", "onnx", "pt2"), lambda model: trained(model).train(), None,
        export=export_in_training_mode,
    ),
    "NF406": Misuse(FUNCTIONAL, SM),
    "NF407": Misuse(chain(CONV, "nn.BatchNorm2d(4, track_running_stats=False)"), SMO),
    "NF408": Misuse(BLOCK + "\n\ndef freeze(bn):\n    bn.track_running_stats = False\n", SM, toggled),
    "NF501": Misuse(
        BLOCK + "\n\ndef fit(data):\n    model = Net()\n    loader = torch.utils.data.DataLoader(data, batch_size=2)\n"
        "    for x in loader:\n        model(x).sum().backward()\n",
        SM, lambda model: model.train(), "training", 2,
    ),
    "NF503": Misuse(
        BLOCK + "\n\ndef fit(optimizer, loader):\n    model = Net()\n    for p in model.parameters():\n"
        "        p.requires_grad = False\n    model.train()\n    for x in loader:\n        model(x).sum().backward()\n",
        SM, frozen_parameters, "training",
    ),
    "NF504": Misuse(CHECKPOINTED, ("source", "model", "state"), counted, "training"),
    "NF505": Misuse(SHARED, SMO),
    "NF510": Misuse(
        BLOCK + "\n\ndef private(engine, loader):\n    import opacus\n    model = Net()\n"
        "    return opacus.PrivacyEngine().make_private(module=model, data_loader=loader)\n",
        SM, opaque, "training",
    ),
    "NF602": Misuse(BLOCK + WRAP.format(CONVERT, "nn.DataParallel(model)"), SM, parallel, "training"),
    "NF603": Misuse(TWO_NAMES, SM, twins, "training"),
    "NF604": Misuse(BLOCK + WRAP.format("torch.distributed.init_process_group('gloo')", CONVERT[8:]), SM, twins),
    "NF701": Misuse(BLOCK, ("model", "onnx", "pt2", "state"), spoiled("running_mean", float("nan"))),
    "NF702": Misuse(BLOCK, ("model", "onnx", "pt2", "state"), spoiled("running_var", -3.0)),
    "NF703": Misuse(BLOCK, ("model", "onnx", "state"), lambda model: model.eval()),
    "NF704": Misuse(BLOCK, ("model", "state"), lambda model: trained(model).bfloat16()),
    "NF705": Misuse(BLOCK, ("model", "onnx", "state"), spoiled("running_var", 1e-12)),
    "NF803": Misuse(alone("LayerNorm", f"(x - {MEAN}) / (x.std(1, keepdim=True) + 1e-6)"), SM),
    "NF804": Misuse(alone("RMSNorm", "x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-6)"), SM),
}  # fmt: skip
"""By the code of the rule."""
CASES = [(code, reader) for code, misuse in MISUSES.items() for reader in misuse.readers]


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes the network of a misuse from its source, in a module of its own, as an import would."""

    def make(misuse: Misuse) -> nn.Module:
        module = ModuleType("misused")
        module.__file__ = str(tmp_path / "misused.py")
        (tmp_path / "misused.py").write_text(misuse.text)
        monkeypatch.setitem(sys.modules, "misused", module)
        exec(compile(misuse.text, module.__file__, "exec"), vars(module))
        torch.manual_seed(0)
        return misuse.change(module.Net())

    return make


def findings(code: str, reader: str, misuse: Misuse, made, folder) -> list[normfix.Finding]:
    plan = {"purpose": misuse.purpose, "select": [code]}
    if reader == "source":
        return normfix.lint_source(misuse.text, "misused.py", select=[code]).findings
    model = made(replace(misuse, text=misuse.exported) if reader == "onnx" and misuse.exported else misuse)
    x = torch.randn(misuse.shape, dtype=next(model.parameters()).dtype)
    if reader == "model":
        return normfix.check(model, x, batch_size=misuse.batch_size, **plan).findings
    path = f"{folder}/saved" + {"onnx": ".onnx", "pt2": ".pt2", "state": ".safetensors"}[reader]
    if reader == "onnx":
        misuse.export(model, x, path)
    elif reader == "pt2":
        torch.export.save(torch.export.export(model, (x,)), path)
    else:
        save_file(model.state_dict(), path)
    return check_file(path, **plan).findings


@pytest.mark.parametrize(("code", "reader"), CASES, ids=[f"{code}-{reader}" for code, reader in CASES])
def test_the_misuse_is_found(code: str, reader: str, made, tmp_path) -> None:
    found = findings(code, reader, MISUSES[code], made, tmp_path)
    assert {finding.code for finding in found} == {code}


@pytest.mark.parametrize("rule", engine.rules().values(), ids=lambda rule: rule.code)
def test_every_reader_of_a_rule_stands_in_the_table(rule: engine.Rule) -> None:
    if len(rule.readers) < 2 or rule in engine.TOOL_RULES:
        return
    assert set(rule.readers) == set(MISUSES[rule.code].readers)


SOUND = net(
    "self.net = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3))",
    forward="return self.net(x)",
)


@pytest.mark.parametrize("reader", ALL)
def test_a_sound_model_is_silent(reader: str, made, tmp_path) -> None:
    for code in MISUSES:
        assert findings(code, reader, Misuse(SOUND, ALL), made, tmp_path) == []
