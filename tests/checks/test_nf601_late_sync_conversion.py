"""NF601 late-sync-conversion: look-alikes first, then the misuse in its spellings."""

import pytest
from source_findings import fires, fixed, report, silent

from normfix.checks import nf601_late_sync_conversion as rule

IMPORTS = "from torch.nn.parallel import DistributedDataParallel as DDP\n"
CONVERT = "net = nn.SyncBatchNorm.convert_sync_batchnorm(net)"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{CONVERT}\nnet = DDP(net)", id="in the right order"),
        pytest.param(f"{CONVERT}\nnet = torch.compile(DDP(net))", id="before compile"),
        pytest.param(f"if a:\n    net = DDP(net)\nelse:\n    {CONVERT}", id="exclusive branches"),
        pytest.param(
            f"ddp_model = build()\n{CONVERT.replace('net', 'ddp_model')}\nddp_model = DDP(ddp_model)",
            id="called ddp before it is wrapped",
        ),
        pytest.param(f"other = DDP(other)\n{CONVERT}", id="another network is wrapped"),
        pytest.param(f"net = DDP(net)\nnet = build()\n{CONVERT}", id="a new network of that name"),
        pytest.param(
            "from sync_batchnorm import convert_model\nnet = nn.DataParallel(net)\nnet = convert_model(net)",
            id="third-party norms for DataParallel",
        ),
        pytest.param(f"opt = torch.optim.SGD(net.parameters(), 0.1)\n{CONVERT}", id="after the optimizer"),
        pytest.param(f"net = net.to(d)\n{CONVERT}", id="after moving"),
        pytest.param(
            f"def wrap(net):\n    return DDP(net)\n{CONVERT}\nnet = wrap(net)", id="wrapped in a helper later"
        ),
        pytest.param(f"net = nn.DataParallel(net)\n{CONVERT}", id="DataParallel has a rule of its own"),
        pytest.param(f"net = torch.compile(net)\n{CONVERT}", id="compile sees that the modules have changed"),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, IMPORTS + text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"net = DDP(net)\n{CONVERT}  # here", id="DDP"),
        pytest.param(f"net = nn.parallel.DistributedDataParallel(net.cuda(), [0])\n{CONVERT}  # here", id="in full"),
        pytest.param(
            "net = DDP(net)\nnet.module = nn.SyncBatchNorm.convert_sync_batchnorm(net.module)  # here", id="module"
        ),
        pytest.param("net = torch.nn.SyncBatchNorm.convert_sync_batchnorm(DDP(net))  # here", id="nested"),
        pytest.param(f"ddp = DDP(net)\n{CONVERT}  # here", id="the inner network"),
        pytest.param("ddp = DDP(net)\nddp = nn.SyncBatchNorm.convert_sync_batchnorm(ddp)  # here", id="the wrapper"),
        pytest.param(
            f"def main(net):\n    net = DDP(net)\n    if sync:\n        {CONVERT}  # here", id="under an option"
        ),
        pytest.param(
            "class T:\n    def f(self):\n        self.net = DDP(self.net)\n"
            "        self.net = nn.SyncBatchNorm.convert_sync_batchnorm(self.net)  # here",
            id="attributes",
        ),
        pytest.param(
            "ddp = DDP(build().cuda())\nddp = nn.SyncBatchNorm.convert_sync_batchnorm(ddp)  # here",
            id="what is wrapped has no name",
        ),
    ],
)
def test_found(text: str) -> None:
    fires(rule, IMPORTS + text, "error")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"ddp = DDP(net)\n{CONVERT}\n", id="another name"),
        pytest.param(f"net = DDP(net)\nif sync:\n    {CONVERT}\n", id="in another block"),
        pytest.param(f"net = DDP(net); {CONVERT}\n", id="on one line"),
        pytest.param("net = torch.nn.SyncBatchNorm.convert_sync_batchnorm(DDP(net))\n", id="nested"),
        pytest.param(f"net = DDP(net)\n{CONVERT.replace('(net)', '(net, group)')}\n", id="a group made in between"),
        pytest.param("net = DDP(net)\nnet.module = nn.SyncBatchNorm.convert_sync_batchnorm(net.module)\n", id="module"),
    ],
)
def test_found_and_left_to_its_author(text: str) -> None:
    assert fixed(rule, IMPORTS + text) == IMPORTS + text and report(rule, IMPORTS + text).findings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"net = DDP(net)\n{CONVERT}\n", f"{CONVERT}\nnet = DDP(net)\n", id="one after the other"),
        pytest.param(
            f"if a:\n  net = DDP(net.to(d))  # wrap\n  opt = SGD(net.parameters())\n  {CONVERT}  # convert\n",
            f"if a:\n  {CONVERT}\n  net = DDP(net.to(d))  # wrap\n  opt = SGD(net.parameters())\n  # convert\n",
            id="with something between, and comments",
        ),
    ],
)
def test_the_conversion_moves_before_the_wrapping(text: str, expected: str) -> None:
    assert fixed(rule, IMPORTS + text) == IMPORTS + expected
