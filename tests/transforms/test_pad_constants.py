"""A norm before a zero-padded convolution folds exactly, if each channel may be padded with its own constant."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transform_networks import chain, conv, image, lambda_of

from normfix.transforms.fold import fold

CASES = {
    "padding-1": chain(nn.BatchNorm2d(4), conv(padding=1)),
    "padding-differs-by-axis": chain(nn.BatchNorm2d(4), nn.Conv2d(4, 3, (3, 5), padding=(0, 2))),
    "grouped-strided-dilated": chain(
        nn.BatchNorm2d(4), nn.Conv2d(4, 8, 3, padding=2, stride=2, dilation=2, groups=2, bias=False)
    ),
    "depthwise": chain(nn.BatchNorm2d(4), conv(padding=1, groups=4)),
}


@pytest.mark.parametrize("name", CASES)
def test_folds_exactly_where_asked_for(name):
    model = CASES[name].double()
    nn.init.uniform_(model[0].weight, 0.5, 1.5)
    done = fold(model, image(), pad_constants=True, prove="formula")
    assert done.refused == [] and "zero padding became a constant" in done.applied[0].what
    torch.testing.assert_close(done.model(image()), model(image()), rtol=0, atol=1e-10)
    assert not [module for module in done.model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert fold(model, image(), prove="none").applied == []


def test_the_float32_model_deploys():
    model = CASES["padding-1"].float()
    done = fold(model, image().float(), pad_constants=True)
    assert done.proof.holds and done.proof.deployed is not None and done.proof.deployed < 1e-5


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        pytest.param(
            chain(nn.BatchNorm2d(4), conv(padding=1)), "pads with zeros", id="a-scale-of-zero-has-no-constant"
        ),
        pytest.param(chain(nn.BatchNorm2d(4), conv(padding="same")), "pads with zeros", id="padding-given-as-a-string"),
        pytest.param(
            lambda_of(lambda m, x: (lambda y: m.c(y) + y)(m.bn(x)), bn=nn.BatchNorm2d(4), c=conv(padding=1)),
            "",
            id="read-by-another-one-too",
        ),
    ],
)
def test_stays(model, reason):
    done = fold(model.double(), image(), pad_constants=True, prove="none")
    assert done.applied == [] and reason in done.refused[0].reason
    torch.testing.assert_close(done.model(image()), model(image()), rtol=0, atol=0)
