"""NF507 stale-averaged-statistics: look-alikes first, then the misuse in its spellings."""

import pytest
from source_findings import NET, PLAIN, fires, silent

from normfix.checks import nf507_stale_averaged_statistics as rule

IMPORT = "from torch.optim.swa_utils import AveragedModel, update_bn, get_ema_multi_avg_fn\n"
SWA = "swa = AveragedModel(net)\nfor e in range(9):\n    fit(net)\n    swa.update_parameters(net)\n"
HERE = SWA.replace("(net)\nfor", "(net)  # here\nfor")


def used(text: str, net: str = NET) -> str:
    # `update_bn` must not be named in the file, not even in an import.
    return IMPORT.replace(" update_bn,", "") + net + "net = Net()\n" + text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(IMPORT + NET + "net = Net()\n" + SWA + "update_bn(loader, swa)", id="update_bn is called"),
        pytest.param(used(SWA, PLAIN), id="no batch norm"),
        pytest.param(used(SWA).replace("net = Net()\n", ""), id="a network that is not seen"),
        pytest.param(used(SWA.replace("(net)\nfor", "(net, use_buffers=True)\nfor")), id="buffers are averaged"),
        pytest.param(
            used(SWA.replace("(net)\nfor", "(net, multi_avg_fn=get_ema_multi_avg_fn(0.9))\nfor")), id="an EMA"
        ),
        pytest.param(used("swa = AveragedModel(net)"), id="nothing is averaged"),
        pytest.param("import pytest\n" + used(SWA), id="a unit test"),
        pytest.param("from lib import AveragedModel\n" + NET + "net = Net()\n" + SWA, id="another class"),
        pytest.param(used(SWA) + "bn_update(loader, swa)", id="another update of the statistics"),
        pytest.param(used(SWA.replace("AveragedModel(net)", "AveragedModel(build())")), id="a network from elsewhere"),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(used(HERE), id="by name"),
        pytest.param(used(HERE.replace("AveragedModel", "torch.optim.swa_utils.AveragedModel", 1)), id="in full"),
        pytest.param(used(HERE.replace("(net)  #", "(net.to('cuda'))  #")), id="moved"),
        pytest.param(used(HERE.replace("(net)  #", "(net, use_buffers=False)  #")), id="without buffers"),
        pytest.param(
            used("from torch.optim import swa_utils\n" + HERE.replace("Averaged", "swa_utils.Averaged", 1)),
            id="through the module",
        ),
        pytest.param(
            "from torchvision import models\n" + used(HERE).replace("net = Net()", "net = models.resnet18()"),
            id="torchvision",
        ),
        pytest.param(
            used("def fit_all(net):\n    swa = AveragedModel(net)  # here\n    swa.update_parameters(net)"),
            id="the network is a parameter",
        ),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "info")


def test_update_bn_of_frozen_norms() -> None:
    frozen = NET.replace("    def forward", "    def train(self, mode=True):\n        return self\n\n    def forward")
    text = (
        IMPORT
        + frozen
        + "net = Net()\nswa = AveragedModel(net)\nswa.update_parameters(net)\nupdate_bn(data, swa)  # here"
    )
    fires(rule, text, "info")


def test_a_network_that_is_wrapped_on_the_way() -> None:
    fires(rule, used("net = net.cuda()\nnet = nn.parallel.DistributedDataParallel(net)\n" + HERE))
    silent(rule, used("net = net.cuda()\nnet = nn.parallel.DistributedDataParallel(net)\n" + SWA, PLAIN))
