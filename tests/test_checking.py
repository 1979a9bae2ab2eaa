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


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        pytest.param(torch.randn(2, 4, 8, 8), "expected input[2, 4, 8, 8] to have 3 channels", id="width"),
        pytest.param((torch.randn(2, 3, 8, 8),) * 2, "takes 2 positional arguments but 3 were given", id="number"),
        pytest.param({"x": torch.randn(2, 3, 8, 8)}, "unexpected keyword argument 'x'", id="keyword"),
        pytest.param(torch.zeros(2, 3, 8, 8, dtype=torch.int64), "long", id="dtype"),
    ],
)
def test_inputs_that_the_model_does_not_take_are_an_error(inputs, message):
    (failure,) = normfix.check(net(), inputs).errors
    assert failure.reason.startswith("the forward pass raises with these inputs: ")
    assert message in failure.reason


def test_a_forward_that_runs_but_cannot_be_traced_is_no_error():
    assert normfix.check(Branching(), torch.randn(2, 3, 8, 8)).errors == []


def test_a_norm_that_does_not_fit_is_a_finding_and_no_error():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm1d(8))
    report = normfix.check(model, torch.randn(2, 3, 8, 8))
    assert [one.code for one in report.findings if one.severity is normfix.Severity.ERROR] == ["NF207"]
    assert report.errors == []


def test_findings_name_the_module():
    report = normfix.check(net(), torch.randn(2, 3, 8, 8), select=["NF301"])
    assert [(one.code, one.module, one.path) for one in report.findings] == [("NF301", "0", "Sequential")]


def test_the_planned_batch_counts_and_not_the_example():
    model = net().train()
    small = normfix.check(model, torch.randn(8, 3, 8, 8), purpose="training", batch_size=2, select=["NF501"])
    large = normfix.check(model, torch.randn(2, 3, 8, 8), purpose="training", batch_size=64, select=["NF501"])
    assert [one.code for one in small.findings] == ["NF501"]
    assert large.findings == []


def test_a_bias_that_the_forward_reads_itself_is_not_redundant():
    class Penalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x):
            return self.bn(self.conv(x)), self.conv.bias.abs().sum()

    assert normfix.check(Penalised(), torch.randn(2, 3, 8, 8), select=["NF301"]).findings == []


def test_what_a_failure_names_is_a_line_of_the_user():
    (failure,) = normfix.check(net(), torch.randn(2, 4, 8, 8)).errors
    assert " at model.py:" not in failure.reason
