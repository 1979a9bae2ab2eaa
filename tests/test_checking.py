"""`normfix.check`: plans that make no sense are refused, what is not seen is said, findings name the module."""

import pytest
import torch
from torch import nn

import normfix
from normfix.errors import UsageError


def net():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = net()

    def forward(self, x):
        return self.net(x) if x.sum() > 0 else x


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        pytest.param({"purpose": "fun"}, "the purpose `fun`", id="purpose"),
        pytest.param({"batch_size": 0}, "the batch size `0`", id="batch-of-none"),
        pytest.param({"batch_size": True}, "the batch size `True`", id="a-flag-for-a-number"),
        pytest.param({"world_size": -1}, "the world size `-1`", id="negative-world"),
        pytest.param({"select": ["NF999"]}, "NF999", id="unknown-rule"),
    ],
)
def test_refused(plan, message):
    with pytest.raises(UsageError, match=message):
        normfix.check(net(), torch.randn(2, 3, 8, 8), **plan)


def test_rules_of_calls_say_that_they_saw_none():
    report = normfix.check(Branching(), torch.randn(2, 3, 8, 8), select=["NF203"])
    assert report.findings == []
    assert [(one.code, "if x.sum() > 0" in one.reason) for one in report.undecided] == [("NF203", True)]


def test_findings_name_the_module():
    report = normfix.check(net(), torch.randn(2, 3, 8, 8), select=["NF301"])
    assert [(one.code, one.module, one.path) for one in report.findings] == [("NF301", "0", "Sequential")]


def test_the_planned_batch_counts_and_not_the_example():
    model = net().train()
    small = normfix.check(model, torch.randn(8, 3, 8, 8), purpose="training", batch_size=2, select=["NF501"])
    large = normfix.check(model, torch.randn(2, 3, 8, 8), purpose="training", batch_size=64, select=["NF501"])
    assert [one.code for one in small.findings] == ["NF501"]
    assert large.findings == []
