"""NF502 ragged-last-batch: look-alikes first, then the misuse in its spellings."""

import pytest
from source_findings import NET, PLAIN, fires, report, silent

from normfix.checks import nf502_ragged_last_batch as rule
from normfix.findings import SetArgument

TRAIN = "\nnet = Net()\nfor x in loader:\n    net(x).sum().backward()\n"
DATA = "from torch.utils.data import TensorDataset, Subset\nds = TensorDataset(torch.randn(129, 3, 8, 8))\n"
BROAD = {"ragged-last-batch": "broad"}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(NET + DATA + "loader = DataLoader(ds, 32, shuffle=True, drop_last=True)" + TRAIN, id="drop_last"),
        pytest.param(NET + DATA + "loader = DataLoader(ds, 30, shuffle=True)" + TRAIN, id="a last batch of nine"),
        pytest.param(NET + DATA + "loader = DataLoader(ds, 43, shuffle=True)" + TRAIN, id="no remainder"),
        pytest.param(NET + "loader = DataLoader(ds, 32, shuffle=True)" + TRAIN, id="a length that is not literal"),
        pytest.param(
            NET + DATA + "loader = DataLoader(ds, n, shuffle=True)" + TRAIN, id="a batch size that is not literal"
        ),
        pytest.param(NET + DATA + "test_loader = DataLoader(ds, 32)" + TRAIN, id="a test loader"),
        pytest.param(PLAIN + DATA + "loader = DataLoader(ds, 32, shuffle=True)" + TRAIN, id="no batch norm"),
        pytest.param(
            NET + DATA + "loader = DataLoader(ds, 1, shuffle=True)" + TRAIN, id="single samples are another matter"
        ),
        pytest.param(NET + DATA + "loader = DataLoader(ds, 32, shuffle=True, **more)" + TRAIN, id="options not seen"),
        pytest.param(NET + DATA + "loader = DataLoader(ds, batch_size=None)" + TRAIN, id="no batching"),
        pytest.param(NET + DATA + "loader = DataLoader(ds, 32, shuffle=True)\nnet = Net()", id="nothing is trained"),
        pytest.param(
            NET + DATA + "loader = DataLoader(ds, 32, shuffle=True)\nnet = Net().eval()" + TRAIN.replace("Net", "Head"),
            id="another network is trained on it",
        ),
        pytest.param(
            NET + DATA + "def fit(loader):\n    net = Net()\n    for x in loader:\n        net(x).sum().backward()\n"
            "def features(ds):\n    net = Net()\n    net.eval()\n    loader = DataLoader(ds, 32, shuffle=True)\n"
            "    for x in loader:\n        net(x).sum().backward()\n",
            id="a backward pass in eval mode, beside a training loop that reads another loader",
        ),
        pytest.param(
            NET
            + "a, b = torch.utils.data.random_split(ds, [130, 20])\nloader = DataLoader(a, 32, shuffle=True)"
            + TRAIN,
            id="a split with a last batch of two",
        ),
        pytest.param(
            NET + "a, b = torch.utils.data.random_split(ds, [n, 20])\nloader = DataLoader(a, 32, shuffle=True)" + TRAIN,
            id="a split of unknown size",
        ),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(DATA + "loader = DataLoader(ds, 32, shuffle=True)  # here", id="a tensor data set"),
        pytest.param(DATA + "loader = DataLoader(ds, batch_size=64, shuffle=True)  # here", id="keyword"),
        pytest.param(DATA + "loader = DataLoader(Subset(ds, range(65)), 64, shuffle=True)  # here", id="a subset"),
        pytest.param("t = torch.zeros((33, 3, 8, 8))\nloader = DataLoader(t, 32, True)  # here", id="a tensor"),
        pytest.param("loader = DataLoader(range(101), 100, True)  # here", id="a range"),
        pytest.param(
            "from torchvision.datasets import FakeData\nloader = DataLoader(FakeData(size=257), 256, True)  # here",
            id="FakeData",
        ),
        pytest.param("N = 129\nt = torch.randn(N, 3)\nloader = DataLoader(t, 128, True)  # here", id="constants"),
        pytest.param(DATA + "loader = DataLoader(ds, 32, shuffle=True, drop_last=False)  # here", id="drop_last=False"),
        pytest.param(
            "a, b = torch.utils.data.random_split(ds, [129, 20])\nloader = DataLoader(a, 32, shuffle=True)  # here",
            id="a split",
        ),
    ],
)
def test_found(text: str) -> None:
    fires(rule, NET + text + TRAIN, "error")


def test_broad_names_every_training_loader() -> None:
    text = NET + "loader = DataLoader(ds, 32, shuffle=True)  # here" + TRAIN
    silent(rule, text)
    fires(rule, text, "info", options=BROAD)


def test_the_remedy_sets_drop_last() -> None:
    (finding,) = report(rule, NET + DATA + "loader = DataLoader(ds, 32, shuffle=True)" + TRAIN).findings
    assert isinstance(finding.remedy, SetArgument)
    assert (finding.remedy.name, finding.remedy.value) == ("drop_last", "True")
