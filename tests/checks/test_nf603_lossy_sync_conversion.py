"""NF603 lossy-sync-conversion: look-alikes first, then the misuse in its spellings."""

import pytest
from source_findings import NET, fires, silent

from normfix.checks import nf603_lossy_sync_conversion as rule

CONVERT = "net = nn.SyncBatchNorm.convert_sync_batchnorm(net)"
ACT = "class Act(nn.BatchNorm2d):\n    def forward(self, x):\n        return F.relu(super().forward(x))\n"
WITH_ACT = ACT + NET.replace("nn.BatchNorm2d", "Act")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(NET + f"net = Net()\n{CONVERT}", id="plain batch norm"),
        pytest.param(WITH_ACT + "net = Net()", id="not converted"),
        pytest.param(ACT + NET + f"net = Net()\n{CONVERT}", id="the subclass is not in this network"),
        pytest.param(
            ACT.replace("forward", "extra") + NET.replace("nn.BatchNorm2d", "Act") + f"net = Net()\n{CONVERT}",
            id="a subclass that computes the same",
        ),
        pytest.param(f"def f(net):\n    {CONVERT}", id="a network that is not seen"),
        pytest.param(
            f"import timm\nnet = timm.create_model('resnet50')\n{CONVERT}", id="a timm model with plain norms"
        ),
        pytest.param(f"import timm\nnet = timm.create_model(name)\n{CONVERT}", id="some timm model"),
        pytest.param(
            "import timm\nfrom timm.layers import convert_sync_batchnorm\n"
            "net = timm.create_model('efficientnet_b0')\n"
            "net = convert_sync_batchnorm(net)",
            id="timm's converter",
        ),
        pytest.param("from torchvision import models\nnet = models.resnet50()\n" + CONVERT, id="torchvision"),
        pytest.param(
            NET.replace("BatchNorm2d(8)", "LazyInstanceNorm2d()") + f"net = Net()\n{CONVERT}",
            id="lazy, no batch norm",
        ),
        pytest.param(
            "import timm\n"
            + "from timm.layers import BatchNormAct2d\n"
            + NET.replace("nn.BatchNorm2d", "BatchNormAct2d")
            + "net = timm.layers.convert_sync_batchnorm(Net())",
            id="the converter of timm",
        ),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(WITH_ACT + f"net = Net()\n{CONVERT}  # here", id="a subclass"),
        pytest.param(WITH_ACT + "net = nn.SyncBatchNorm.convert_sync_batchnorm(Net().cuda())  # here", id="in place"),
        pytest.param(
            WITH_ACT.replace("Net", "Block") + "class Net(nn.Module):\n    def __init__(self):\n"
            "        self.b = Block()\n"
            f"net = Net()\n{CONVERT}  # here",
            id="in a block",
        ),
        pytest.param(f"import timm\nnet = timm.create_model('efficientnet_b0')\n{CONVERT}  # here", id="timm"),
        pytest.param(
            f"from timm import create_model\nnet = create_model(model_name='regnety_016')\n{CONVERT}  # here",
            id="timm by name",
        ),
        pytest.param(NET.replace("BatchNorm2d(8)", "LazyBatchNorm2d()") + f"net = Net()\n{CONVERT}  # here", id="lazy"),
        pytest.param(
            "from timm.layers import BatchNormAct2d\n"
            + NET.replace("nn.BatchNorm2d", "BatchNormAct2d")
            + f"net = Net().cuda()\n{CONVERT}  # here",
            id="a norm of timm with its activation",
        ),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "error")
