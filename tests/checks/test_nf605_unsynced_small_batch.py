"""NF605 unsynced-small-batch: look-alikes first, then the misuse in its spellings."""

import pytest
from source_findings import NET, PLAIN, fires, silent

from normfix.checks import nf605_unsynced_small_batch as rule


def script(size: object = 8, net: str = NET, wrap: str = "net = DDP(net)  # here", loader: str = "train_loader") -> str:
    return (
        "from torch.nn.parallel import DistributedDataParallel as DDP\n" + net + f"net = Net()\n{wrap}\n"
        f"{loader} = DataLoader(ds, {size}, sampler=s)\nfor x in {loader}:\n    net(x).sum().backward()\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(script(64), id="enough samples"),
        pytest.param(script("n"), id="a size that is not literal"),
        pytest.param(script(net=PLAIN), id="no batch norm"),
        pytest.param(script(net=NET.replace("BatchNorm2d(8)", "GroupNorm(4, 8)")), id="group norm"),
        pytest.param(script(wrap="net = DDP(nn.SyncBatchNorm.convert_sync_batchnorm(net))"), id="synchronised"),
        pytest.param(script(wrap="net.cuda()"), id="one device"),
        pytest.param(script(wrap="net = nn.DataParallel(net)"), id="DataParallel"),
        pytest.param(script(loader="test_loader"), id="a test loader"),
        pytest.param("import pytest\n" + script(), id="a unit test"),
        pytest.param(script() + "second_train = DataLoader(ds, 32, shuffle=True)", id="two sizes"),
        pytest.param(script(wrap="head = DDP(Head())"), id="another network is wrapped"),
        pytest.param(script(64) + "test_loader = DataLoader(ds, 8)\n", id="few samples where nothing is trained"),
        pytest.param(script().replace("    net(x)", "    head(x)"), id="the loader feeds another network"),
        pytest.param(script(wrap="net = DDP(net).eval()"), id="the wrapped network is in eval mode"),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(script(), id="eight"),
        pytest.param(script(2), id="two"),
        pytest.param(script("batch_size=16"), id="keyword"),
        pytest.param(script(wrap="net = nn.parallel.DistributedDataParallel(net, [0])  # here"), id="in full"),
        pytest.param("N = 4\n" + script("N"), id="a constant"),
        pytest.param(script(wrap="net = DDP(net.cuda(), device_ids=[0])  # here"), id="moved on the way"),
        pytest.param(
            script(net="from torchvision import models\nNet = 0\n").replace("Net()", "models.resnet18()"),
            id="torchvision",
        ),
        pytest.param(script() + "test_loader = DataLoader(ds, 64)\n", id="more samples where nothing is trained"),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "info")
