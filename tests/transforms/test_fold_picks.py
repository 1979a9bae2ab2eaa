"""Folds through operations that pick channels: splits, slices, shuffles, flips, rolls, and turns of axes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transform_networks import conv, image, lambda_of, rows

from normfix.transforms.drop_bias import drop_bias
from normfix.transforms.fold import fold

BN = nn.BatchNorm2d


def _model(forward, **layers):
    return lambda_of(forward, **{"c": conv(), **layers}).double(), image()


def _apart(m, x):
    whole = m.c(x)
    return m.p(whole[:, :2]) + m.q(whole[:, 2:])


def _overlapping(m, x):
    whole = m.c(x)
    return m.p(whole[:, :2]) + m.q(whole[:, 1:3])


def _crossed(m, x):
    whole = m.c(x)
    return m.p(whole[:, :2]).sum() + m.bn(whole[:, :, :2]).sum()


def _written(m, x):
    first, second = m.c(x).chunk(2, 1)
    return m.p(first).relu_() + second


def _twice(m, x):
    first, second = m.c(x).chunk(2, 1)
    return m.p(first) + m.p(second)


def _halves_of_space(m, x):
    first, second = m.c(x).chunk(2, 2)
    return m.bn(first) + second


REFUSED = {
    "slices-that-overlap-share-a-channel": (_overlapping, {"p": BN(2), "q": BN(2)}, "is read 2 times"),
    "slices-along-different-axes-share-elements": (_crossed, {"p": BN(2), "bn": BN(4)}, "is read 2 times"),
    "nobody-may-write-into-one-of-several-views": (_written, {"p": BN(2)}, "in place"),
    "half-of-the-space-is-no-channel": (_halves_of_space, {"bn": BN(4)}, "acts on another axis"),
    "flat-roll-moves-across-channels": (lambda m, x: m.bn(m.c(x).roll(3)), {"bn": BN(4)}, "rolls over the ends"),
    "select-in-the-batch-beside-another-reader": (
        lambda m, x: (lambda y: m.bn(y[:1]).sum() + y[1:].sum())(m.c(x)),
        {"bn": BN(4)},
        "acts on another axis",
    ),
    "view-of-memory-that-the-norm-put-in-order": (
        lambda m, x: m.p(m.c(x)[:, ::2]).view(2, -1),
        {"p": BN(2)},
        "`p` puts memory in order, which `view` asks for",
    ),
    "view-behind-an-activation": (
        lambda m, x: m.p(m.c(x)[:, ::2]).neg().view(2, -1),
        {"p": BN(2)},
        "`p` puts memory in order, which `view` asks for",
    ),
    "getitem-of-an-operation-that-is-no-split": (
        lambda m, x: m.bn(torch.max(m.c(x), 2, keepdim=True)[0]),
        {"bn": BN(4)},
        "`max_1` stands between",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    forward, layers, reason = REFUSED[name]
    model, inputs = _model(forward, **layers)
    done = fold(model, inputs, prove="none")
    assert not done.applied and reason in done.refused[0].reason


def _split(sizes):
    def forward(m, x):
        first, second = m.c(x).split(sizes, 1)
        return torch.cat([m.p(first), m.q(second)], 1)

    return forward


FOLDED = {
    "chunk-only-one-half-is-normed": (
        lambda m, x: (lambda a, b: torch.cat([m.p(a), b], 1))(*m.c(x).chunk(2, 1)),
        {"p": BN(2)},
    ),
    "split-uneven-each-takes-its-own": (_split([1, 3]), {"p": BN(1), "q": BN(3)}),
    "tensor-split-and-negative-axis": (
        lambda m, x: (lambda a, b: m.p(a) + b)(*m.c(x).tensor_split(2, -3)),
        {"p": BN(2)},
    ),
    "one-norm-for-both-halves": (_twice, {"p": BN(2)}),
    "reshape-of-memory-that-is-not-in-order": (lambda m, x: m.p(m.c(x)[:, ::2]).reshape(2, -1), {"p": BN(2)}),
    "all-parts-of-a-split-in-another-order": (
        lambda m, x: m.bn(torch.cat(m.c(x).split(1, 1)[::-1], 1)),
        {"bn": BN(4)},
    ),
    "two-slices-apart": (_apart, {"p": BN(2), "q": BN(2)}),
    "every-other-channel": (lambda m, x: m.bn(m.c(x)[:, 1::2]), {"bn": BN(2)}),
    "channel-shuffle-layer": (lambda m, x: m.bn(m.s(m.c(x))), {"s": nn.ChannelShuffle(2), "bn": BN(4)}),
    "channel-shuffle-of-six-in-two-is-not-its-own-inverse": (
        lambda m, x: m.bn(m.s(m.c(x))),
        {"c": conv(4, 6), "s": nn.ChannelShuffle(2), "bn": BN(6)},
    ),
    "flip-of-channels-and-space": (lambda m, x: m.bn(m.c(x).flip(1, -1)), {"bn": BN(4)}),
    "roll-of-channels": (lambda m, x: m.bn(m.c(x).roll((1, 2), (1, 3))), {"bn": BN(4)}),
    "a-row-of-the-result": (lambda m, x: m.bn(m.c(x)[:, :, 1]), {"bn": nn.BatchNorm1d(4)}),
    "movedim-of-two-axes": (
        lambda m, x: m.bn(m.c(x).movedim((1, 2), (3, 1)).movedim(3, 1)),
        {"bn": BN(4)},
    ),
    "swapaxes-and-swapdims": (
        lambda m, x: m.bn(m.c(x).swapaxes(1, 3).swapdims(1, 3).swapaxes(2, 3)),
        {"bn": BN(4)},
    ),
    "crop-by-negative-padding": (lambda m, x: m.bn(nn.functional.pad(m.c(x), (-1, 0, 0, -1))), {"bn": BN(4)}),
    "nearest-exact-resize": (
        lambda m, x: m.bn(nn.functional.interpolate(m.c(x), size=3, mode="nearest-exact")),
        {"bn": BN(4)},
    ),
    "antialiased-resize": (
        lambda m, x: m.bn(nn.functional.interpolate(m.c(x), size=3, mode="bilinear", antialias=True)),
        {"bn": BN(4)},
    ),
    "forward-through-chunk": (
        lambda m, x: (lambda a, b: m.c(a) + m.d(b))(*m.bn(x).chunk(2, 1)),
        {"c": conv(2, 4), "d": conv(2, 4), "bn": BN(4)},
    ),
    "forward-through-unbind-and-shuffle": (
        lambda m, x: (lambda a, b: m.c(a) + m.d(b))(
            *m.s(m.bn(x)).view(2, 2, 2, *x.shape[2:]).unbind(1),
        ),
        {"c": conv(2, 4), "d": conv(2, 4), "s": nn.ChannelShuffle(2), "bn": BN(4)},
    ),
    "forward-through-select": (
        lambda m, x: m.fc(m.bn(x)[:, :, 0, 1]),
        {"fc": nn.Linear(4, 3), "bn": BN(4)},
    ),
}


@pytest.mark.parametrize("name", FOLDED)
def test_folded(name):
    forward, layers = FOLDED[name]
    model, inputs = _model(forward, **layers)
    norms = sum(isinstance(module, BN | nn.BatchNorm1d) for module in model.modules())
    before = copy.deepcopy(model.state_dict())
    done = fold(model, inputs, prove="formula")
    assert len(done.applied) == norms and not done.refused
    torch.testing.assert_close(done.model(inputs), model(inputs), rtol=1e-10, atol=1e-10)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_biases_are_dropped_through_a_split():
    model, inputs = _model(_split([1, 3]), p=BN(1), q=BN(3))
    done = drop_bias(model, inputs, prove="formula")
    assert [change.where for change in done.applied] == ["c"]
    torch.testing.assert_close(done.model(inputs), model(inputs), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(done.model.train()(inputs), copy.deepcopy(model).train()(inputs), rtol=1e-9, atol=1e-9)


def test_a_written_result_is_found_behind_a_norm_that_is_already_folded():
    def forward(m, x):
        first, second = m.fc(x).chunk(2, 1)
        return m.q(m.p(first)).relu_() + second

    model = lambda_of(forward, fc=nn.Linear(4, 6), p=nn.BatchNorm1d(3), q=nn.BatchNorm1d(3)).double()
    done = fold(model, rows(), prove="formula")
    assert [change.where for change in done.applied] == ["p"] and "in place" in done.refused[0].reason
    torch.testing.assert_close(done.model(rows()), model(rows()), rtol=1e-10, atol=1e-10)
