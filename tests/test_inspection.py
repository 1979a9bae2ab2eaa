"""The table of norms: what is not known says so, and each kind of norm shows its own statistics."""

import pytest
import torch
from torch import nn

from normfix.checking.inspection import rows
from normfix.graph import Layer, LayerGraph, Unknown
from normfix.readers.model import capture


class SwitchNorm2d(nn.Module):
    """Has the attributes of the reference implementation, and a forward that keeps the shape."""

    def __init__(self, num_features):
        super().__init__()
        self.eps, self.momentum, self.using_moving_average, self.using_bn = 1e-5, 0.9, True, True
        self.weight = nn.Parameter(torch.ones(1, num_features, 1, 1))
        self.register_buffer("running_mean", torch.zeros(1, num_features, 1))

    def forward(self, x):
        return x * self.weight


def row_of(module, *shape):
    (row,) = rows(capture(nn.Sequential(module), torch.randn(shape)).graph)
    return row


def test_layers_without_calls_are_listed_with_what_is_known():
    layer = Layer("batch_norm", "bn", training=Unknown("not held"))
    (row,) = rows(LayerGraph("a.pt", [layer], open=Unknown("a checkpoint holds no calls")))
    assert (row["path"], row["input"], row["mode"], row["fed by"]) == ("bn", "unknown", "unknown", "unknown")


def test_a_norm_that_is_never_called_says_so():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.LayerNorm(4), nn.LayerNorm(4)

        def forward(self, x):
            return self.used(x)

    found = rows(capture(Idle(), torch.randn(2, 4)).graph)
    assert [(row["path"], row["fed by"]) for row in found] == [("used", "x"), ("idle", "never called")]


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        pytest.param(nn.BatchNorm2d(6), (2, 6, 4, 4), ("0+2+3", "6", "32", "2"), id="batch"),
        pytest.param(nn.BatchNorm1d(6), (8, 6), ("0", "6", "8", "32"), id="batch-of-vectors"),
        pytest.param(nn.LayerNorm(6), (2, 5, 6), ("2", "10", "6", ""), id="layer"),
        pytest.param(nn.RMSNorm((5, 6)), (2, 5, 6), ("1+2", "2", "30", ""), id="rms"),
        pytest.param(nn.GroupNorm(3, 6), (2, 6, 4, 4), ("1+2+3", "6", "32", ""), id="group"),
        pytest.param(nn.InstanceNorm2d(6), (2, 6, 4, 4), ("2+3", "12", "16", ""), id="instance"),
        pytest.param(nn.LocalResponseNorm(5), (2, 6, 4, 4), ("1", "192", "5", ""), id="local-response"),
        pytest.param(
            SwitchNorm2d(6), (2, 6, 4, 4), ("2+3, 1+2+3, 0+2+3", "12, 2, 6", "16, 96, 32", ""), id="switchable"
        ),
    ],
)
def test_statistics_of_each_kind(module, shape, expected):
    row = row_of(module, *shape)
    assert (row["axes"], row["statistics"], row["elements"], row["least batch"]) == expected
    assert row["read by"] == "the output"


def test_folding_is_told_for_each_path():
    graph = capture(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), torch.randn(2, 3, 5, 5)).graph
    assert rows(graph, {"1": "into `0`"})[0]["fold"] == "into `0`"
    assert "fold" not in rows(graph)[0]
