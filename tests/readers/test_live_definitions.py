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


def test_the_class_that_is_run_is_read():
    assert [finding.code for finding in found(Broken())] == ["NF404"]
