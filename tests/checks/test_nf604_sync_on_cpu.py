"""NF604 sync-on-cpu: look-alikes first, then the misuse in its spellings, then live models."""

import pytest
from source_findings import fires, silent

from normfix import engine
from normfix.checks import nf604_sync_on_cpu as rule
from normfix.graph import Layer, LayerGraph, Site, Tensor

GLOO = "torch.distributed.init_process_group('gloo')\n"
CONVERT = "net = nn.SyncBatchNorm.convert_sync_batchnorm(net)"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(CONVERT, id="no process group"),
        pytest.param(GLOO.replace("gloo", "nccl") + CONVERT, id="nccl"),
        pytest.param(GLOO + CONVERT + "\nnet.cuda()", id="on cuda"),
        pytest.param(GLOO + CONVERT + "\nnet.to('xpu')", id="on another accelerator"),
        pytest.param("torch.distributed.init_process_group('nccl' if gpu else 'gloo')\n" + CONVERT, id="either"),
        pytest.param(GLOO + "nn.BatchNorm2d(8)", id="plain batch norm"),
        pytest.param(GLOO + "isinstance(m, nn.SyncBatchNorm)", id="a question of type"),
        pytest.param("# gloo\n" + CONVERT, id="a comment"),
        pytest.param("backend = 'gloo'\n" + CONVERT, id="a word"),
        pytest.param(GLOO + "from lib import SyncBatchNorm\nSyncBatchNorm(8)", id="another class"),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GLOO + CONVERT + "  # here", id="converted"),
        pytest.param(GLOO + "bn = nn.SyncBatchNorm(8)  # here", id="constructed"),
        pytest.param(GLOO.replace("'gloo'", "backend='gloo'") + CONVERT + "  # here", id="keyword"),
        pytest.param(
            "import torch.distributed as dist\ndist.init_process_group('gloo', rank=0)\n" + CONVERT + "  # here",
            id="alias",
        ),
        pytest.param(
            "from torch.distributed import init_process_group\ninit_process_group('gloo')\n" + CONVERT + "  # here",
            id="by name",
        ),
        pytest.param("def main():\n    " + GLOO + "    " + CONVERT + "  # here", id="in a function"),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "info")


def check(kind: str, device: str, purpose: str | None, reader: str = "model") -> list[str]:
    state = {"weight": Tensor((4,), "float32", device, list)} if reader == "model" else {}
    layer = Layer(kind, "bn", Site(module="bn"), state=state)
    facts = engine.Facts(reader, purpose=purpose)
    return [
        str(one.severity) for one in engine.run(facts, [rule.sync_for_inference], [LayerGraph("Net", [layer])]).findings
    ]


def test_live() -> None:
    assert check("BatchNorm2d", "cpu", "inference") == []
    assert check("SyncBatchNorm", "cuda:0", "inference") == []
    assert check("SyncBatchNorm", "cpu", "training") == ["info"]
    assert check("SyncBatchNorm", "cpu", "inference") == ["warning"]


def test_source_does_not_tell_the_device() -> None:
    assert check("SyncBatchNorm", "", None, reader="source") == []
