"""What the source of a class says of a live model, and where it says nothing."""

import pytest
import torch
from torch import nn

import normfix


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(x)


class Broken(Net):
    def train(self):
        super().train(True)


class Mended(Net):
    def train(self):
        super().train(True)


def _train(self, mode=True):
    return nn.Module.train(self, mode)


Mended.train = _train


def bare(method):
    """A decorator that does not say what it wraps."""

    def run(self, mode=True):
        return method(self)

    return run


class Decorated(Net):
    @bare
    def train(self):
        super().train(True)


class SwitchesItself(Net):
    def eval(self):
        return nn.Module.train(self, False)


class BelowOwnEval(SwitchesItself):
    def train(self):
        return nn.Module.train(self, True)


if torch.__version__ < "2":

    class Twice(Net):
        def train(self):
            super().train(True)

else:

    class Twice(Net):
        def train(self, mode=True):
            return super().train(mode)


def found(model):
    return normfix.check(model, torch.randn(4, 3, 8, 8), select=["NF404"]).findings


@pytest.mark.parametrize(
    "cls",
    [
        pytest.param(Mended, id="method-put-in-later"),
        pytest.param(BelowOwnEval, id="eval-of-a-base-class"),
        pytest.param(Twice, id="the-other-class-of-this-name"),
    ],
)
def test_source_that_is_not_run_tells_nothing(cls):
    assert found(cls()) == []


@pytest.mark.parametrize(
    "cls", [pytest.param(Mended, id="put-in-later"), pytest.param(Decorated, id="decorated-without-wraps")]
)
def test_a_method_that_its_source_does_not_show_is_undecided(cls):
    model = nn.Sequential(cls(), Broken())
    report = normfix.check(model, torch.randn(4, 3, 8, 8), select=["NF404"])
    assert [one.reason for one in report.undecided] == [
        f"`{cls.__name__}.train` is not as the class writes it: decorated, or put in later"
    ]
    assert [finding.module for finding in report.findings] == ["1"]


def test_the_class_that_is_run_is_read():
    assert [finding.code for finding in found(Broken())] == ["NF404"]
