"""Functional calls are folded in the exported program, when one is asked for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import ExportedProgram
from transform_networks import chain, conv, image, lambda_of, randomise, rows

from normfix.transforms.fold import fold
from normfix.transforms.nodes import operation


class Functional(nn.Module):
    """Holds its tensors itself, and calls F.conv2d and F.batch_norm."""

    def __init__(self, call):
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(4, 4, 3, 3))
        self.bias = nn.Parameter(torch.randn(4))
        self.register_buffer("mean", torch.randn(4))
        self.register_buffer("variance", torch.rand(4) + 0.5)
        self.gamma = nn.Parameter(torch.randn(4))
        self.call = call

    def norm(self, x):
        return F.batch_norm(x, self.mean, self.variance, self.gamma, None, eps=0.1)

    def forward(self, x):
        return self.call(self, x)


CASES = {
    "conv": lambda m, x: m.norm(F.conv2d(x, m.weight, m.bias, stride=2, padding=1)).relu(),
    "conv-without-bias": lambda m, x: m.norm(F.conv2d(x, m.weight, padding="same")).relu(),
    "transposed-conv": lambda m, x: m.norm(F.conv_transpose2d(x, m.weight, stride=2, output_padding=1)).relu(),
    "linear": lambda m, x: m.norm(F.linear(x.mean((2, 3)), m.weight[:, :, 0, 0].contiguous(), m.bias)).relu(),
    "forward": lambda m, x: F.conv2d(m.norm(x.relu()), m.weight, m.bias),
}


@pytest.mark.parametrize("name", ["conv", "conv-without-bias", "transposed-conv", "forward"])
def test_functional_calls_are_folded(name):
    model = Functional(CASES[name]).double().eval()
    done = fold(model, image(), output="program", prove="formula")
    assert isinstance(done.model, ExportedProgram) and done.refused == []
    assert not [node for node in done.model.graph.nodes if operation(node) == "batch_norm"]
    torch.testing.assert_close(done.model.module()(image()), model(image()), rtol=0, atol=1e-10)
    assert done.proof.holds and done.proof.formula <= 1e-10
    assert fold(model, image(), prove="none").applied == []  # modules cannot be edited to do it


def test_a_weight_that_is_computed_stays():
    model = Functional(CASES["linear"]).double().eval()
    done = fold(model, image(), output="program", prove="formula")
    assert done.applied == []
    torch.testing.assert_close(done.model.module()(image()), model(image()), rtol=0, atol=1e-10)


def test_a_weight_that_two_calls_share_stays():
    model = Functional(lambda m, x: m.norm(F.conv2d(x, m.weight)) + F.conv2d(x, m.weight)).double().eval()
    done = fold(model, image(), output="program", prove="formula")
    assert done.applied == []
    torch.testing.assert_close(done.model.module()(image()), model(image()), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        pytest.param(chain(conv(padding=1, groups=2), nn.BatchNorm2d(4), nn.ReLU()), image(), id="layers"),
        pytest.param(randomise(nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5))), rows(), id="linear"),
        pytest.param(
            lambda_of(lambda m, x: m.bn(torch.cat([m.a(x), m.b(x)], 1)), a=conv(), b=conv(), bn=nn.BatchNorm2d(8)),
            image(),
            id="cat",
        ),
    ],
)
def test_layers_are_folded_in_the_program_too(model, inputs):
    done = fold(model.double(), inputs, output="program", prove="formula")
    assert len(done.applied) == 1 and done.refused == []
    torch.testing.assert_close(done.model.module()(inputs), model(inputs), rtol=0, atol=1e-10)


def test_an_unknown_output_is_an_error():
    with pytest.raises(ValueError, match="expected module or program"):
        fold(chain(conv()), image().float(), output="file")
