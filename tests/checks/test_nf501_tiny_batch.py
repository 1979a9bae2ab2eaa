"""NF501 tiny-batch: look-alikes first, then the misuse in its spellings, then live models."""

import pytest
from source_findings import NET, PLAIN, fires, report, silent

from normfix import engine
from normfix.checks import nf501_tiny_batch as rule
from normfix.graph import Layer, LayerGraph, Site
from normfix.readers import scripts

TRAIN = """
net = Net()
for x, y in loader:
    F.mse_loss(net(x), y).backward()
"""
INSTANCE = NET.replace("BatchNorm2d", "InstanceNorm2d")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(NET + "loader = DataLoader(ds, 32, shuffle=True)" + TRAIN, id="enough samples"),
        pytest.param(NET + "loader = DataLoader(ds, batch_size=n, shuffle=True)" + TRAIN, id="not literal"),
        pytest.param(NET + "loader = DataLoader(ds, batch_size=None, shuffle=True)" + TRAIN, id="no batching"),
        pytest.param(NET + "loader = DataLoader(ds, **options)" + TRAIN, id="arguments that are not seen"),
        pytest.param(NET + "loader = DataLoader(ds, batch_sampler=s)" + TRAIN, id="a batch sampler"),
        pytest.param(PLAIN + "loader = DataLoader(ds, 2, shuffle=True)" + TRAIN, id="no norm"),
        pytest.param(INSTANCE + "loader = DataLoader(ds, 1, shuffle=True)" + TRAIN, id="instance norm only"),
        pytest.param(NET + "test_loader = DataLoader(ds, batch_size=1)" + TRAIN, id="a test loader"),
        pytest.param(NET + "valLoader = DataLoader(ds, batch_size=1)" + TRAIN, id="a validation loader"),
        pytest.param(NET + "loader = DataLoader(test_set, batch_size=1)" + TRAIN, id="a loader of the test set"),
        pytest.param(NET + "export = DataLoader(ds, batch_size=1, shuffle=True)" + TRAIN, id="an export loader"),
        pytest.param(NET + "train_loader = DataLoader(ds, batch_size=2)\nnet = Net()", id="nothing is trained here"),
        pytest.param("import pytest\n" + NET + "loader = DataLoader(ds, 2, shuffle=True)" + TRAIN, id="a unit test"),
        pytest.param(
            NET + "loader = DataLoader(ds, 2, shuffle=True)\nteacher = Net().eval()" + TRAIN.replace("Net", "Student"),
            id="the batch-normed network is a teacher in eval mode",
        ),
        pytest.param(
            "from torch_geometric.loader import DataLoader\n"
            + NET
            + "loader = DataLoader(ds, batch_size=2, shuffle=True)"
            + TRAIN,
            id="a loader of graphs, whose nodes are the samples",
        ),
        pytest.param(
            NET + "loader = DataLoader(ds, 1, shuffle=True)\nnet = Net()\nfor x, y in loader:\n"
            "    F.mse_loss(net(x.squeeze(0)), y).backward()",
            id="the data set gives whole batches",
        ),
        pytest.param(
            NET + "loader = DataLoader(ds, 2, shuffle=True)\n"
            "net = nn.SyncBatchNorm.convert_sync_batchnorm(Net())\nloss(net).backward()",
            id="synchronised over devices",
        ),
        pytest.param(
            NET.replace("    def forward", "    def train(self, mode=True):\n        self.bn.eval()\n\n    def forward")
            + "loader = DataLoader(ds, 2, shuffle=True)"
            + TRAIN,
            id="frozen norms",
        ),
        pytest.param(
            "from other import Net\nloader = DataLoader(ds, 2, shuffle=True)" + TRAIN, id="a network that is not seen"
        ),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


GROUPED = NET.replace("class Net", "class Grouped").replace("BatchNorm2d(8)", "GroupNorm(2, 8)")
STEPS = "    for x in loader:\n        net(x).sum().backward()\n"
TRAINED_WELL = (
    "def train(ds):\n    net = Net()\n    net.train()\n    loader = DataLoader(ds, 32, shuffle=True)\n" + STEPS
)
FREEZE = "for m in net.modules():\n        if isinstance(m, nn.BatchNorm2d):\n            m.eval()\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "def grouped(ds):\n    net = Grouped()\n    loader = DataLoader(ds, 1)\n" + STEPS,
            id="the loader feeds a group-normed network, another function trains the batch-normed one",
        ),
        pytest.param(
            "def grouped(ds):\n    net = Grouped()\n    train_loader = DataLoader(ds, 1, shuffle=True)\n"
            "    fit(net, train_loader)\n",
            id="handed over with a group-normed network",
        ),
        pytest.param(
            "def test(ds):\n    net = Net()\n    net.eval()\n    loader = DataLoader(ds, 1)\n"
            "    with torch.no_grad():\n        return [net(x) for x in loader]\n",
            id="an evaluation loader that is named like the training loader",
        ),
        pytest.param(
            "def attack(ds):\n    net = Net()\n    net.eval()\n    loader = DataLoader(ds, 1, shuffle=True)\n" + STEPS,
            id="a backward pass in eval mode",
        ),
        pytest.param(
            "def head(ds):\n    net, top = Net(), Grouped()\n    loader = DataLoader(ds, 1, shuffle=True)\n"
            "    for x in loader:\n        with torch.no_grad():\n            y = net(x)\n        top(y).backward()\n",
            id="features without gradients",
        ),
        pytest.param(
            "def measure(ds):\n    net = Net()\n    loader = DataLoader(ds, 1, shuffle=True)\n"
            "    for x in loader:\n        net(x)\n",
            id="no backward pass",
        ),
        pytest.param(
            "def frozen(ds):\n    net = Net()\n    net.train()\n    "
            + FREEZE
            + "    loader = DataLoader(ds, 1)\n"
            + STEPS,
            id="norms frozen one by one after train()",
        ),
        pytest.param(
            "def freeze(net):\n    " + FREEZE + "def frozen(ds):\n    net = Net()\n    net.train()\n    freeze(net)\n"
            "    loader = DataLoader(ds, 1)\n" + STEPS,
            id="norms frozen by a helper",
        ),
        pytest.param(
            "def freeze(m):\n    if isinstance(m, nn.BatchNorm2d):\n        m.eval()\n"
            "def frozen(ds):\n    net = Net()\n    net.train()\n    net.apply(freeze)\n"
            "    loader = DataLoader(ds, 1)\n" + STEPS,
            id="norms frozen by apply",
        ),
        pytest.param(
            "def frozen(ds):\n    net = Net()\n    net.train()\n    net.bn.eval()\n"
            "    loader = DataLoader(ds, 1)\n" + STEPS,
            id="the norm frozen by its name",
        ),
        pytest.param(
            "def make(ds):\n    return DataLoader(ds, 32, shuffle=True), DataLoader(ds, 1)\n"
            "def train(ds):\n    net = Net()\n"
            "    loader, single = make(ds)\n" + STEPS,
            id="the other of two returned loaders",
        ),
        pytest.param(
            "def train(a, b):\n    net = Net()\n"
            "    loaders = {'a': DataLoader(a, 32), 'b': DataLoader(b, 1, shuffle=True)}\n"
            "    for x in loaders['a']:\n        net(x).backward()\n    for x in loaders['b']:\n        print(x)\n",
            id="the other entry of a dict",
        ),
        pytest.param(
            "def tasks(ds):\n    net = Net()\n    for task in DataLoader(ds, 1, shuffle=True):\n"
            "        for x in split(task):\n            net(x).sum().backward()\n",
            id="a loader of tasks, each of which is split into batches",
        ),
        pytest.param(
            "def train(ds, fixed):\n    net = Net()\n    single = DataLoader(fixed, 1, shuffle=True)\n"
            "    loader = DataLoader(ds, 32)\n    for _ in range(9):\n        show(next(iter(single)))\n"
            "        for x in loader:\n            net(x).sum().backward()\n",
            id="a single batch to look at, beside the training loop",
        ),
    ],
)
def test_loaders_that_train_no_batch_norm(text: str) -> None:
    silent(rule, NET + GROUPED + TRAINED_WELL + text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "def run(ds):\n    net = Net()\n    loader = DataLoader(ds, 1)  # here\n" + STEPS, id="one function"
        ),
        pytest.param(
            "def epoch(net, loader):\n"
            + STEPS
            + "def run(ds):\n    model = Net()\n    data = DataLoader(ds, 1)  # here\n"
            "    epoch(model, data)",
            id="both handed to a function",
        ),
        pytest.param(
            "def step(m, x):\n    m(x).sum().backward()\n"
            "def run(ds):\n    net = Net()\n    loader = DataLoader(ds, 1)  # here\n"
            "    for index, x in enumerate(loader):\n        step(net, x)",
            id="a training step of its own, through enumerate",
        ),
        pytest.param(
            "def make(ds):\n    return DataLoader(ds, 1), DataLoader(ds, 32)  # here\ndef run(ds):\n    net = Net()\n"
            "    loader, other = make(ds)\n" + STEPS,
            id="the first of two returned loaders",
        ),
        pytest.param(
            "def run(ds):\n    net = Net()\n    batches = iter(DataLoader(ds, 1, shuffle=True))  # here\n"
            "    for _ in range(9):\n        net(next(batches)).sum().backward()",
            id="next() of an iterator",
        ),
        pytest.param(
            "def run(ds):\n    net = Net()\n    loader = DataLoader(ds, 1)  # here\n    for x in loader:\n"
            "        for _ in range(3):\n            net(x).sum().backward()",
            id="several steps for each batch",
        ),
        pytest.param(
            "class Run:\n    def __init__(self, ds):\n        self.net = Net()\n"
            "        self.data = DataLoader(ds, 1, shuffle=True)  # here\n    def go(self):\n"
            "        for x in self.data:\n            self.net(x).sum().backward()",
            id="attributes of a trainer class",
        ),
        pytest.param(
            "def run(ds):\n    net = Net()\n    loaders = {'train': DataLoader(ds, 1, shuffle=True)}  # here\n"
            "    for phase in ('train', 'val'):\n        net.train()\n"
            "        if phase == 'val':\n            net.eval()\n"
            "        for x in loaders[phase]:\n            net(x).sum().backward()",
            id="phases",
        ),
        pytest.param(
            "def validate(net):\n    net.eval()\n"
            "def run(ds):\n    net = Net()\n    loader = DataLoader(ds, 1)  # here\n"
            "    net.train()\n" + STEPS + "    validate(net)",
            id="eval only after the training",
        ),
    ],
)
def test_loaders_followed_to_their_network(text: str) -> None:
    fires(rule, NET + GROUPED + TRAINED_WELL + text, "warning")


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        pytest.param("loader = DataLoader(ds, batch_size=2, shuffle=True)  # here", "warning", id="keyword"),
        pytest.param("loader = DataLoader(ds, 1, True)  # here", "warning", id="positional"),
        pytest.param("loader = DataLoader(ds, shuffle=True)  # here", "warning", id="the default of DataLoader"),
        pytest.param("loader = DataLoader(ds, batch_size=4, shuffle=True)  # here", "info", id="four"),
        pytest.param("loader = DataLoader(ds, batch_size=2, sampler=s)  # here", "warning", id="a sampler"),
        pytest.param("loader = DataLoader(ds, batch_size=2)  # here", "warning", id="read by the training loop"),
        pytest.param("train_loader = DataLoader(ds, batch_size=2)  # here", "warning", id="named for training"),
        pytest.param("loader = DataLoader(train_set, batch_size=2)  # here", "warning", id="the training set"),
        pytest.param("BS = 2\nloader = DataLoader(ds, BS, shuffle=True)  # here", "warning", id="a constant"),
        pytest.param(
            "import argparse\np = argparse.ArgumentParser()\np.add_argument('--batch-size', type=int, default=1)\n"
            "args = p.parse_args()\nloader = DataLoader(ds, args.batch_size, shuffle=True)  # here",
            "warning",
            id="the default of an option",
        ),
        pytest.param(
            "def make(batch_size=2):\n    return DataLoader(train, batch_size=batch_size)  # here\nloader = make()",
            "warning",
            id="the default of a parameter",
        ),
        pytest.param(
            "class Config:\n    batch_size: int = 2\ncfg = Config()\n"
            "loader = DataLoader(ds, cfg.batch_size, shuffle=True)  # here",
            "warning",
            id="an attribute of a configuration class",
        ),
        pytest.param(
            "cfg = {'lr': 0.1, 'bs': 2}\nloader = DataLoader(ds, cfg['bs'], shuffle=True)  # here",
            "warning",
            id="an entry of a dict",
        ),
        pytest.param(
            "cfg = dict(bs=2)\nloader = DataLoader(ds, cfg['bs'], shuffle=True)  # here", "warning", id="a dict call"
        ),
        pytest.param(
            "loaders = {'train': DataLoader(train_set, 2), 'val': DataLoader(val_set, 1)}  # here",
            "warning",
            id="in a dict",
        ),
    ],
)
def test_found(text: str, severity: str) -> None:
    fires(rule, NET + text + TRAIN, severity)


@pytest.mark.parametrize(
    "network",
    [
        pytest.param("from torchvision import models\nnet = models.resnet18(weights=None)", id="torchvision"),
        pytest.param("import timm\nnet = timm.create_model('efficientnet_b0')", id="timm"),
        pytest.param("net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).to('cuda')", id="a Sequential"),
        pytest.param(NET + "net = nn.DataParallel(Net())\nnet = Net()", id="wrapped"),
    ],
)
def test_networks_with_batch_norm(network: str) -> None:
    fires(rule, network + "\nloader = DataLoader(ds, 2, shuffle=True)  # here\nfor x in loader:\n    net(x).backward()")


@pytest.mark.parametrize(
    "network",
    [
        pytest.param("from torchvision import models\nnet = models.vgg16()", id="vgg without norms"),
        pytest.param("import timm\nnet = timm.create_model('vit_base_patch16_224')", id="a transformer"),
        pytest.param("import timm\nnet = timm.create_model('resnetv2_50x1_bit')", id="group norm"),
        pytest.param("from torchvision import models\nnet = models.resnet18(norm_layer=group)", id="another norm"),
    ],
)
def test_networks_without(network: str) -> None:
    silent(rule, network + "\nloader = DataLoader(ds, 2, shuffle=True)\nfor x in loader:\n    net(x).backward()")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "import pytorch_lightning as pl\nclass Lit(pl.LightningModule):\n    def __init__(self):\n"
            "        self.bn = nn.BatchNorm1d(8)\n    def training_step(self, batch, index):\n"
            "        return loss(batch)\n"
            "    def train_dataloader(self):\n        return DataLoader(self.data, batch_size=2)  # here",
            id="Lightning",
        ),
        pytest.param(
            "from ignite.engine import create_supervised_trainer\n" + NET + "net = Net()\n"
            "train_loader = DataLoader(ds, 2)  # here\ntrainer = create_supervised_trainer(net, opt, loss)",
            id="Ignite",
        ),
    ],
)
def test_managed_training(text: str) -> None:
    fires(rule, text, "warning")


def test_a_network_in_the_file_beside() -> None:
    beside = scripts.read("from torch import nn\n" + NET, "model.py")
    text = "from model import Net\nloader = DataLoader(ds, 2, shuffle=True)  # here" + TRAIN
    fires(rule, text, sibling=lambda name: (beside, "Net") if name == "model.Net" else None)


def test_names_that_many_ways_lead_to_are_looked_at_once() -> None:
    chain = "".join(f"a{number + 1} = pick(a{number}, a{number})\n" for number in range(40))
    fires(rule, NET + "a0 = DataLoader(ds, 1)  # here\n" + chain + TRAIN.replace("loader", "a40"), "warning")


def check(batch_size: int | None, purpose: str | None = "training", world_size: int | None = None, **layer: object):
    kind = str(layer.pop("kind", "BatchNorm2d"))
    layers = [Layer(kind, name, Site(module=name), training=bool(layer.get("training", True))) for name in ("a", "b")]
    facts = engine.Facts("model", purpose=purpose, batch_size=batch_size, world_size=world_size)
    return engine.run(facts, [rule.tiny_declared_batch], [LayerGraph("Net", layers)]).findings


@pytest.mark.parametrize(
    "findings",
    [
        pytest.param(check(None), id="no batch size was declared"),
        pytest.param(check(32), id="enough samples"),
        pytest.param(check(2, "inference"), id="inference"),
        pytest.param(check(2, kind="GroupNorm"), id="group norm"),
        pytest.param(check(2, kind="SyncBatchNorm", world_size=8), id="synchronised over eight devices"),
    ],
)
def test_live_silent(findings: list[object]) -> None:
    assert findings == []


@pytest.mark.parametrize(
    ("findings", "severity"),
    [
        pytest.param(check(2), "warning", id="two per device"),
        pytest.param(check(8), "info", id="eight per device"),
        pytest.param(check(1, kind="SyncBatchNorm", world_size=4), "info", id="four over all devices"),
        pytest.param(check(2, training=False), "warning", id="handed over in eval mode"),
    ],
)
def test_live_found_once(findings: list, severity: str) -> None:
    assert [(str(one.severity), one.module) for one in findings] == [(severity, "a")]


def test_the_message_names_the_option() -> None:
    text = NET + "N = 2\nloader = DataLoader(ds, N, shuffle=True)" + TRAIN
    assert report(rule, text).findings[0].message.startswith("`batch_size=N` = `2` gives the batch norms of `Net`")


SPREAD = NET + "options = {}\nloader = DataLoader(ds, shuffle=True, **options){}" + TRAIN


@pytest.mark.parametrize(
    "options",
    [
        pytest.param("dict(batch_size=64)", id="enough"),
        pytest.param("dict(batch_size=2)\noptions['batch_size'] = 64", id="set again"),
        pytest.param("dict(batch_size=2)\noptions.update(more)", id="updated by something"),
        pytest.param("dict(batch_size=2)\noptions.update({'batch_size': n})", id="updated by name"),
        pytest.param("{**other, 'batch_size': n}", id="not literal"),
    ],
)
def test_a_spread_dict_silent(options: str) -> None:
    silent(rule, SPREAD.format(options, ""))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param("dict(batch_size=2)", id="dict"),
        pytest.param("{'batch_size': 2, 'num_workers': 4}", id="a display"),
        pytest.param("{'batch_size': 2}\ncuda = {'pin_memory': True}\noptions.update(cuda)", id="updated beside"),
    ],
)
def test_a_spread_dict_found(options: str) -> None:
    text = (
        SPREAD.replace("options = {}", "options = @").replace("loader = DataLoader", "loader = DataLoader").format("")
    )
    assert [one.code for one in report(rule, text.replace("@", options)).findings] == ["NF501"]


def test_a_network_behind_a_star_import() -> None:
    beside = scripts.read("import torch.nn as nn\n" + NET, "models/net.py")
    text = (
        "from torch.utils.data import DataLoader\nfrom models import *\nloader = DataLoader(ds, batch_size=2)  # here"
        + TRAIN
    )
    fires(rule, text, sibling=lambda name: (beside, "Net") if name == "models.Net" else None)


def test_a_network_whose_blocks_another_file_defines() -> None:
    inner = scripts.read("import torch.nn as nn\n" + NET.replace("class Net", "class Block"), "blocks.py")
    outer = scripts.read(
        "import torch.nn as nn\nfrom blocks import Block\nclass Net(nn.Module):\n    b = Block()\n", "net.py"
    )
    outer.sibling = lambda name: (inner, "Block") if name == "blocks.Block" else None
    text = (
        "from torch.utils.data import DataLoader\nfrom net import Net\nloader = DataLoader(ds, batch_size=2)  # here"
        + TRAIN
    )
    fires(rule, text, sibling=lambda name: (outer, "Net") if name == "net.Net" else None)
