"""The proof's own convolutions in float64 are those of torch."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn.functional import conv2d

from normfix.proof.convolving import convolve
from normfix.proof.float64 import InFloat64

GENERATOR = torch.Generator().manual_seed(0)


def noise(*sizes):
    return torch.randn(*sizes, generator=GENERATOR, dtype=torch.float64)


def ours(x, weight, bias, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, transposed=False):
    return convolve(x, weight, bias, stride, padding, dilation, transposed, (0, 0), groups)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"x": noise(1, 4, 8, 8)}, "one sample"),
        ({"x": noise(2, 4, 40, 40)}, "large images"),
        ({"x": noise(2, 4, 8)}, "no images"),
        ({"x": noise(2, 4, 8, 8).float()}, "another dtype"),
        ({"x": noise(2, 4, 8, 8).to(memory_format=torch.channels_last)}, "channels last"),
        ({"x": noise(0, 4, 8, 8)}, "no samples"),
        ({"x": noise(2, 4, 2, 2)}, "a kernel that does not fit"),
        ({"x": noise(2, 5, 8, 8)}, "other channels"),
        ({"dilation": (2, 2)}, "dilated"),
        ({"transposed": True}, "transposed"),
        ({"groups": 2, "weight": noise(6, 2, 3, 3)}, "groups of several channels"),
        ({"groups": 4, "weight": noise(8, 1, 3, 3)}, "two filters a channel"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_what_is_left_to_torch(given, reason):
    assert ours(**{"x": noise(2, 4, 8, 8), "weight": noise(6, 4, 3, 3), "bias": None, **given}) is None


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    list(itertools.product([(1, 1), (3, 3), (2, 5)], [(1, 1), (2, 2), (3, 1)], [(0, 0), (1, 1), (0, 2)])),
)
@pytest.mark.parametrize("depthwise", [False, True], ids=["dense", "depthwise"])
@pytest.mark.parametrize("biased", [False, True], ids=["no-bias", "bias"])
def test_the_results_are_those_of_torch(kernel, stride, padding, depthwise, biased):
    x, groups = noise(3, 4, 9, 10), 4 if depthwise else 1
    weight, bias = noise(4, 4 // groups, *kernel), noise(4) if biased else None
    made = ours(x, weight, bias, stride, padding, groups=groups)
    expected = conv2d(x, weight, bias, stride, padding, 1, groups)
    assert made is not None and made.stride() == expected.stride()
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("padding", ["same", "valid", 1, (0, 1)], ids=str)
def test_a_forward_pass_in_float64_goes_through_them(padding):
    x, weight = noise(3, 4, 9, 9).float(), noise(5, 4, 3, 3).float()
    with InFloat64():
        made = conv2d(x, weight, padding=padding)
    torch.testing.assert_close(made, conv2d(x.double(), weight.double(), padding=padding), rtol=0, atol=1e-13)
