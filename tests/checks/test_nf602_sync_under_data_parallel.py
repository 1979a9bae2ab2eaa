"""NF602 sync-under-data-parallel: look-alikes first, then the misuse in its spellings."""

import pytest
from source_findings import NET, fires, silent

from normfix.checks import nf602_sync_under_data_parallel as rule

CONVERT = "net = nn.SyncBatchNorm.convert_sync_batchnorm(net)"
SYNCED = NET.replace("nn.BatchNorm2d", "nn.SyncBatchNorm")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{CONVERT}\nnet = nn.parallel.DistributedDataParallel(net)", id="DistributedDataParallel"),
        pytest.param("net = nn.DataParallel(net)", id="plain batch norm"),
        pytest.param(
            "RANK = int(os.environ['RANK'])\nif cuda and RANK == -1 and n > 1:\n    net = nn.DataParallel(net)\n"
            f"if sync and cuda and RANK != -1:\n    {CONVERT}",
            id="two tests that contradict each other",
        ),
        pytest.param(
            f"def wrap(net, mode):\n    if mode == 'ddp':\n        {CONVERT}\n    if mode == 'dp':\n"
            "        net = nn.DataParallel(net)",
            id="two values of one option",
        ),
        pytest.param(
            f"def wrap(net, dp, ddp):\n    if not (ddp or dp):\n        return\n    if ddp:\n        {CONVERT}\n"
            "    if dp and not ddp:\n        net = nn.DataParallel(net)",
            id="the negation of a test",
        ),
        pytest.param(f"if ddp:\n    {CONVERT}\nelse:\n    net = nn.DataParallel(net)", id="exclusive branches"),
        pytest.param(f"{CONVERT}\nother = nn.DataParallel(other)", id="another network"),
        pytest.param(
            "from sync_batchnorm import SynchronizedBatchNorm2d, DataParallelWithCallback\n"
            "net = DataParallelWithCallback(net)",
            id="third-party norms for DataParallel",
        ),
        pytest.param(
            "if isinstance(m, nn.SyncBatchNorm):\n    pass\nnet = nn.DataParallel(net)", id="a question of type"
        ),
        pytest.param(f"{CONVERT}\nDataParallel = 1", id="a name"),
        pytest.param(f"def a(net):\n    {CONVERT}\ndef b(net):\n    return nn.DataParallel(net)", id="two functions"),
        pytest.param(NET + "# SyncBatchNorm\nnet = Net()\nnet = nn.DataParallel(net)", id="only in a comment"),
        pytest.param(
            "from lib import DataParallel\n" + CONVERT + "\nnet = DataParallel(net)", id="another DataParallel"
        ),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{CONVERT}\nnet = nn.DataParallel(net)  # here", id="converted before"),
        pytest.param("net = nn.DataParallel(nn.SyncBatchNorm.convert_sync_batchnorm(net))  # here", id="nested"),
        pytest.param(f"net = nn.DataParallel(net)  # here\n{CONVERT}", id="converted after"),
        pytest.param(f"{CONVERT}\nnet = torch.nn.DataParallel(net.cuda(), device_ids=[0, 1])  # here", id="on devices"),
        pytest.param(
            "m = nn.SyncBatchNorm.convert_sync_batchnorm(net)\nnet = nn.DataParallel(m)  # here", id="another name"
        ),
        pytest.param(SYNCED + "net = Net()\nnet = nn.DataParallel(net)  # here", id="built with SyncBatchNorm"),
        pytest.param(SYNCED + "net = nn.DataParallel(Net().cuda())  # here", id="built in place"),
        pytest.param(
            f"if sync:\n    {CONVERT}\nif many:\n    net = nn.DataParallel(net)  # here", id="under two options"
        ),
        pytest.param(
            f"rank = -1\nif rank == -1:\n    {CONVERT}\nrank = start()\nif rank != -1:\n"
            "    net = nn.DataParallel(net)  # here",
            id="under two tests, between which the value changes",
        ),
        pytest.param(f"{CONVERT}\nif n > 1:\n    net = nn.DataParallel(net)  # here", id="under an option"),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "error")
