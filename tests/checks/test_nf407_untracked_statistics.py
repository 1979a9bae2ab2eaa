"""NF407 untracked-statistics: look-alikes first, then the misuse in its spellings, then live models."""

import pytest
from source_findings import fires, silent

from normfix import engine
from normfix.checks import nf407_untracked_statistics as rule
from normfix.graph import Layer, LayerGraph, Site, Tensor


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("nn.BatchNorm2d(8)", id="tracked"),
        pytest.param("nn.BatchNorm2d(8, track_running_stats=True)", id="tracked in words"),
        pytest.param("nn.BatchNorm2d(8, track_running_stats=track)", id="decided at run time"),
        pytest.param("nn.BatchNorm2d(8, **options)", id="options that are not seen"),
        pytest.param("nn.InstanceNorm2d(8, track_running_stats=False)", id="instance norm does without"),
        pytest.param("# MAML\nnn.BatchNorm2d(8, track_running_stats=False)", id="meta-learning"),
        pytest.param("import functorch\nnn.BatchNorm2d(8, track_running_stats=False)", id="functorch"),
        pytest.param("class Generator:\n    bn = nn.BatchNorm2d(8, track_running_stats=False)", id="a generator"),
        pytest.param("import pytest\nnn.BatchNorm2d(8, track_running_stats=False)", id="a unit test"),
        pytest.param("from lib import BatchNorm2d\nBatchNorm2d(8, track_running_stats=False)", id="another class"),
        pytest.param("dict(track_running_stats=False)", id="options"),
        pytest.param(
            "from functools import partial\npartial(nn.InstanceNorm2d, track_running_stats=False)",
            id="a partial of instance norm",
        ),
        pytest.param("partial(nn.BatchNorm2d, track_running_stats=False)", id="a partial that is not Python's"),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("nn.BatchNorm2d(8, track_running_stats=False)  # here", id="2d"),
        pytest.param("nn.BatchNorm1d(8, affine=False, track_running_stats=False)  # here", id="1d without weights"),
        pytest.param("nn.BatchNorm3d(8, 1e-5, 0.1, True, False)  # here", id="positional"),
        pytest.param("nn.BatchNorm3d(  # here\n    8, 1e-5, 0.1,\n    True,  # affine\n    False)", id="over lines"),
        pytest.param("nn.SyncBatchNorm(8, track_running_stats=False)  # here", id="synchronised"),
        pytest.param(
            "from functools import partial\npartial(nn.BatchNorm2d, track_running_stats=False)  # here", id="a partial"
        ),
        pytest.param("nn.LazyBatchNorm2d(track_running_stats=False)  # here", id="lazy"),
        pytest.param("nn.Sequential(nn.BatchNorm2d(8, track_running_stats=False), nn.ReLU())  # here", id="nested"),
        pytest.param("from torch.nn import BatchNorm2d as B\nB(8, track_running_stats=False)  # here", id="by name"),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "info")


def check(tracked: bool, purpose: str | None = "inference", kind: str = "BatchNorm2d") -> int:
    state = {"running_mean": Tensor((4,), "float32", "cpu", list)} if tracked else {}
    graph = LayerGraph("Net", [Layer(kind, "bn", Site(module="bn"), state=state, training=False)])
    return len(engine.run(engine.Facts("model", purpose=purpose), [rule.untracked_at_inference], [graph]).findings)


def test_live() -> None:
    assert check(True) == 0
    assert check(False, "training") == check(False, None) == 0
    assert check(False, kind="LazyBatchNorm2d") == 0
    assert check(False) == 1


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("nn.AdaptiveAvgPool2d(1)\n", id="adaptive pooling"),
        pytest.param("import torch\ng = torch.Generator()\n", id="a generator of numbers"),
        pytest.param("latent, metadata = 1, {}\n", id="words within words"),
    ],
)
def test_words_that_mean_something_else(text: str) -> None:
    fires(rule, text + "nn.BatchNorm2d(8, track_running_stats=False)  # here")
