"""Norms and convolutions of other libraries: what they do besides survives the fold, or they are refused."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transform_networks import chain, conv, image, lambda_of

from normfix.transforms.fold import fold

pytest.importorskip("timm_shim")
timm_layers = pytest.importorskip("timm.layers")
FrozenBatchNorm2d = pytest.importorskip("torchvision.ops").FrozenBatchNorm2d


class DetrFrozenBatchNorm2d(nn.Module):
    """As detection models write it: four buffers, and an eps that stands in the forward."""

    def __init__(self, channels):
        super().__init__()
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x):
        weight, bias = self.weight.reshape(1, -1, 1, 1), self.bias.reshape(1, -1, 1, 1)
        mean, variance = self.running_mean.reshape(1, -1, 1, 1), self.running_var.reshape(1, -1, 1, 1)
        scale = weight * (variance + 1e-4).rsqrt()
        return x * scale + (bias - mean * scale)


class Casting(nn.BatchNorm2d):
    """Computes in the input's own dtype, as it was."""

    def forward(self, input):
        return super().forward(input.to(self.weight.dtype)).to(input.dtype)


class InFloat(nn.BatchNorm2d):
    """Computes in float32, whatever comes."""

    def forward(self, input):
        return super().forward(input.float()).to(input.dtype)


class InFloatAndMore(nn.BatchNorm2d):
    """Looks alike, and adds what only float32 would not lose."""

    def forward(self, input):
        return (super().forward(input.float()) + 1e-6).cumsum(1).to(input.dtype)


def _cases():
    act = timm_layers.BatchNormAct2d
    yield "batch-norm-act-keeps-its-relu", chain(conv(), act(4)), 1
    yield "batch-norm-act-without-activation", chain(conv(), act(4, apply_act=False)), 1
    silu = act(4, act_layer="silu", drop_layer=nn.Dropout)
    yield "batch-norm-act-keeps-drop-and-silu", chain(conv(), silu), 1
    yield "batch-norm-act-with-parameters-in-its-activation", chain(conv(), act(4, act_layer=nn.PReLU)), 1
    yield "frozen-batch-norm-act", chain(conv(), timm_layers.FrozenBatchNormAct2d(4)), 1
    yield "torchvision-frozen-batch-norm", chain(conv(), FrozenBatchNorm2d(4)), 1
    yield "torchvision-frozen-batch-norm-eps", chain(conv(), FrozenBatchNorm2d(4, eps=0.3)), 1
    yield "frozen-batch-norm-with-eps-in-its-forward", chain(conv(), DetrFrozenBatchNorm2d(4)), 1
    yield "frozen-then-batch-norm", chain(conv(), FrozenBatchNorm2d(4), nn.BatchNorm2d(4)), 2
    yield "frozen-forward-into-a-conv", chain(FrozenBatchNorm2d(4), conv()), 1
    yield "conv-that-pads-first", chain(timm_layers.Conv2dSame(4, 4, 3, stride=2), nn.BatchNorm2d(4)), 1
    yield (
        "conv-that-pads-first-without-bias",
        chain(timm_layers.Conv2dSame(4, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4)),
        1,
    )
    yield "norm-that-casts-to-the-same-dtype", chain(conv(), Casting(4)), 1
    yield "standardised-conv-stays", chain(timm_layers.StdConv2d(4, 4, 3), nn.BatchNorm2d(4)), 0
    yield "conv-norm-act-block", chain(timm_layers.ConvNormAct(4, 8, 3)), 1


@pytest.mark.parametrize(
    ("model", "expected"), [pytest.param(model, number, id=name) for name, model, number in _cases()]
)
def test_what_they_do_besides_survives(model, expected):
    model = model.double()
    before = copy.deepcopy(model)(image())
    done = fold(model, image(), prove="formula")
    assert len(done.applied) == expected, done.refused
    torch.testing.assert_close(done.model(image()), before, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("cls", "expected"), [pytest.param(InFloat, 1, id="nothing-else"), pytest.param(InFloatAndMore, 0, id="and-more")]
)
def test_a_norm_that_computes_in_float32_is_tried_in_float64(cls, expected):
    model, inputs = chain(conv(), cls(4)), image().float()
    done = fold(model, inputs, prove="formula")
    assert len(done.applied) == expected and done.proof.formula < 1e-12
    torch.testing.assert_close(done.model(inputs), model(inputs), rtol=0, atol=1e-4)


def test_parameters_of_a_kept_activation_keep_their_key():
    model = chain(conv(), timm_layers.BatchNormAct2d(4, act_layer=nn.PReLU))
    done = fold(model, image().float(), prove="none")
    assert set(done.model.state_dict()) == {"0.weight", "0.bias", "1.act.weight"}
    assert done.model[1].act is not model[1].act


def test_a_frozen_norm_that_is_read_elsewhere_stays():
    model = lambda_of(
        lambda m, x: m.bn(m.c(x)) * m.bn.weight.reshape(1, -1, 1, 1), c=conv(), bn=FrozenBatchNorm2d(4)
    ).double()
    done = fold(model, image(), prove="none")
    assert "also read by" in done.refused[0].reason
