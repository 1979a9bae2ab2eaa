"""A norm beside a convolution becomes a tap of its kernel, where sizes and factors allow it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transform_networks import conv, image, lambda_of

from normfix.transforms.fold import fold

BN = nn.BatchNorm2d


def _repvgg(main, forward=None, **layers):
    run = forward or (lambda m, x: (m.bn1(m.main(x)) + m.identity(x)).relu())
    return lambda_of(lambda m, x: run(m, x.relu()), main=main, bn1=BN(4), identity=BN(4), **layers)


CASES = {
    "conv-and-identity": _repvgg(conv(padding=1)),
    "depthwise": _repvgg(conv(padding=1, groups=4, bias=False)),
    "grouped": _repvgg(conv(padding=1, groups=2)),
    "dilated": _repvgg(conv(padding=2, dilation=2)),
    "padding-same": _repvgg(conv(padding="same")),
    "identity-first": _repvgg(conv(padding=1), lambda m, x: (m.identity(x) + m.bn1(m.main(x))).relu()),
    "three-branches": _repvgg(
        conv(padding=1), lambda m, x: (m.bn1(m.main(x)) + m.bn2(m.one(x)) + m.identity(x)).relu(),
        one=conv(4, 4, 1), bn2=BN(4)
    ),
    "subtracted": _repvgg(conv(padding=1), lambda m, x: (m.bn1(m.main(x)) - m.identity(x)).relu()),
    "subtracted-from": _repvgg(conv(padding=1), lambda m, x: (m.identity(x) - m.bn1(m.main(x))).relu()),
    "two-norms": _repvgg(
        conv(padding=1), lambda m, x: (m.bn1(m.main(x)) + m.identity(x) - m.other(x)).relu(), other=BN(4)
    ),
    "norm-behind-the-sum": _repvgg(
        conv(padding=1), lambda m, x: m.after(m.bn1(m.main(x)) + m.identity(x)).relu(), after=BN(4)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_norm_goes(name):
    model = CASES[name].double()
    done = fold(model, image(), merge_branches=True, prove="formula")
    assert done.refused == [] and any("merged into the branch" in change.what for change in done.applied)
    torch.testing.assert_close(done.model(image()), model(image()), rtol=0, atol=1e-10)
    assert len(fold(model, image(), prove="none").refused) >= 1  # not without being asked


@pytest.mark.parametrize(
    "main",
    [
        pytest.param(nn.Conv2d(4, 4, 3, padding=0), id="sizes-differ"),
        pytest.param(nn.Conv2d(4, 4, 2, padding="same"), id="even-kernel-has-no-centre"),
    ],
)
def test_what_has_no_centre_stays(main):
    model = _repvgg(
        main, lambda m, x: m.bn1(m.main(x)) + m.identity(x)[:, :, : m.main(x).shape[2], : m.main(x).shape[3]]
    )
    done = fold(model.double(), image(), merge_branches=True, prove="none")
    assert "identity" in {refusal.where for refusal in done.refused}


def test_another_input_stays():
    model = _repvgg(conv(padding=1), lambda m, x: (m.bn1(m.main(x)) + m.identity(x.tanh())).relu()).double()
    done = fold(model, image(), merge_branches=True, prove="none")
    assert [refusal.where for refusal in done.refused] == ["identity"]
    torch.testing.assert_close(done.model(image()), model(image()), rtol=0, atol=1e-10)
