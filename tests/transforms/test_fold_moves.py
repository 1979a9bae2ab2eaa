"""Folds through operations that repeat, join or regroup elements, and through constants: indices, factors, summands."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transform_networks import chain, conv, image, lambda_of, randomise, rows

from normfix.transforms.drop_bias import drop_bias
from normfix.transforms.fold import fold

BN = nn.BatchNorm2d
ORDER = [2, 0, 3, 1]


class Held(nn.Module):
    """Tensors that are no parameters of a layer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("order", torch.tensor(ORDER))
        self.register_buffer("numbers", torch.tensor([0.5, -1.0, 2.0, 0.1]))
        self.register_buffer("zero", torch.tensor([0.5, 0.0, 2.0, 0.1]))
        self.register_buffer("step", torch.tensor(1.0))
        self.gain = nn.Parameter(torch.tensor([1.5, -0.3, 2.0, 0.1]))
        self.plain = torch.tensor([1, 0, 3, 2])


def _model(forward, **layers):
    return lambda_of(forward, **{"c": conv(), "h": Held(), **layers}).double(), image()


def _alike(norm):
    """All channels of the norm the same."""
    for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
        tensor.data.fill_(float(tensor.flatten()[-1].detach()))


def _counted(m, x):
    m.h.step.add_(1)
    return m.bn(m.c(x) + m.h.step)


def _made_and_written(m, x):
    order = torch.arange(4)
    order[0] = 2
    return m.bn(m.c(x)[:, order])


def _written_while_repeated(m, x):
    return m.bn(m.c(x).mean((2, 3), keepdim=True).expand(-1, -1, 3, 3)).relu_()


REFUSED = {
    "index-that-holds-a-channel-twice": (
        lambda m, x: m.bn(m.c(x)[:, [0, 0, 1, 2]]), {"bn": BN(4)}, "holds one channel several times"),
    "repeat-of-channels": (
        lambda m, x: m.bn(m.c(x).repeat(1, 2, 1, 1)), {"bn": BN(8)}, "holds one channel several times"),
    "expand-of-one-channel": (
        lambda m, x: m.bn(m.c(x).mean(1, keepdim=True).expand(-1, 4, -1, -1)), {"bn": BN(4)},
        "holds one channel several times"),
    "stack-of-one-tensor-twice": (
        lambda m, x: (lambda y: m.bn(torch.stack([y, y], 1).flatten(1, 2)))(m.c(x)), {"bn": BN(8)},
        "holds one tensor twice"),
    "index-by-what-the-inputs-say": (
        lambda m, x: m.bn(m.c(x)[:, x[0, 0, 0, :4].argsort()]), {"bn": BN(4)}, "depends on the inputs"),
    "index-along-two-axes": (
        lambda m, x: m.bn(m.c(x)[:, :, [0, 1], [1, 2]][..., None]), {"bn": BN(4)}, "along several axes"),
    "index-by-a-table": (
        lambda m, x: m.bn(m.c(x)[:, [[0, 1], [2, 3]]].flatten(1, 2)), {"bn": BN(4)}, "more than a list"),
    "index-that-forward-writes-into": (_made_and_written, {"bn": BN(4)}, "in place"),
    "buffer-that-forward-counts-up": (_counted, {"bn": BN(4)}, "in place"),
    "unshuffle-gives-each-pixel-its-own-scale": (
        lambda m, x: m.bn(F.pixel_unshuffle(m.c(x), 2)), {"bn": BN(16)}, "moves pixels between channels"),
    "forward-shuffle-gives-each-pixel-its-own-scale": (
        lambda m, x: m.d(F.pixel_shuffle(m.bn(x), 2)), {"d": conv(1, 2), "bn": BN(4)},
        "moves pixels between channels"),
    "factor-of-zero": (
        lambda m, x: m.bn(m.c(x) * m.h.zero.view(1, -1, 1, 1)), {"bn": BN(4)}, "multiplies by zero"),
    "number-over-the-result": (lambda m, x: m.bn(2 / m.c(x)), {"bn": BN(4)}, "stands between"),
    "rounded-quotient": (
        lambda m, x: m.bn(torch.div(m.c(x), m.h.gain.view(4, 1, 1), rounding_mode="floor")), {"bn": BN(4)}, "rounds"),
    "summand-for-each-pixel": (
        lambda m, x: m.bn(m.c(x) + torch.arange(4)), {"bn": BN(4)}, "another axis"),
    "gate-that-depends-on-the-input": (
        lambda m, x: m.bn(m.c(x) * x.mean((2, 3), keepdim=True).sigmoid()), {"bn": BN(4)}, "depends on the inputs"),
    "tensor-minus-itself": (lambda m, x: (lambda y: m.bn(y - y))(m.c(x)), {"bn": BN(4)}, "from itself"),
    "one-channel-added-to-all": (
        lambda m, x: m.bn(m.c(x) + m.d(x)), {"d": conv(4, 1), "bn": BN(4)}, "to several channels"),
    "nobody-may-write-into-repeated-elements": (_written_while_repeated, {"bn": BN(4)}, "in place"),
    "zero-pad-layer": (lambda m, x: m.bn(F.pad(m.c(x), (1, 1))), {"bn": BN(4)}, "which the norm would change"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    forward, layers, reason = REFUSED[name]
    model, inputs = _model(forward, **layers)
    expected = copy.deepcopy(model)(inputs)
    done = fold(model, inputs, prove="none")
    assert not done.applied and reason in done.refused[0].reason
    torch.testing.assert_close(done.model(inputs), expected, rtol=0, atol=0)


FOLDED = {
    "index-list-of-some-channels": (lambda m, x: m.bn(m.c(x)[:, [2, 0, -1]]), {"bn": BN(3)}),
    "index-select": (lambda m, x: m.bn(m.c(x).index_select(1, torch.tensor(ORDER))), {"bn": BN(4)}),
    "index-buffer": (lambda m, x: m.bn(m.c(x)[:, m.h.order]), {"bn": BN(4)}),
    "index-part-of-a-buffer": (lambda m, x: m.bn(m.c(x)[:, m.h.order[:2]]), {"bn": BN(2)}),
    "index-plain-attribute": (lambda m, x: m.bn(m.c(x)[:, m.h.plain]), {"bn": BN(4)}),
    "index-range-backwards": (lambda m, x: m.bn(m.c(x)[:, torch.arange(4).flip(0)]), {"bn": BN(4)}),
    "index-of-pixels-twice": (lambda m, x: m.bn(m.c(x)[:, :, [1, 1, 0]]), {"bn": BN(4)}),
    "index-two-apart": (
        lambda m, x: (lambda y: m.p(y[:, [3, 0]]) + m.q(y[:, [1, 2]]))(m.c(x)), {"p": BN(2), "q": BN(2)}),
    "narrow": (lambda m, x: m.bn(m.c(x).narrow(1, -3, 2)), {"bn": BN(2)}),
    "repeat-of-pixels": (lambda m, x: m.bn(m.c(x).repeat(1, 1, 2, 3)), {"bn": BN(4)}),
    "tile-of-pixels": (lambda m, x: m.bn(m.c(x).tile(2, 3)), {"bn": BN(4)}),
    "repeat-interleave-of-pixels": (lambda m, x: m.bn(m.c(x).repeat_interleave(2, -1)), {"bn": BN(4)}),
    "expand-of-a-mean": (lambda m, x: m.bn(m.c(x).mean((2, 3), keepdim=True).expand(-1, -1, 3, 3)), {"bn": BN(4)}),
    "expand-by-an-axis-more": (lambda m, x: m.bn(m.c(x).expand(3, 2, 4, 4, 4).flatten(0, 1)), {"bn": BN(4)}),
    "expand-as-and-broadcast-to": (
        lambda m, x: m.bn(m.c(x).mean(2, keepdim=True).broadcast_to(2, 4, 4, 4).expand_as(x[:, :, :4, :4])),
        {"bn": BN(4)}),
    "stack-and-flatten": (
        lambda m, x: m.bn(torch.stack([m.c(x), m.d(x)], 2).flatten(1, 2)), {"d": conv(), "bn": BN(8)}),
    "stack-for-a-3d-norm": (
        lambda m, x: m.bn(torch.stack([m.c(x), m.d(x)], -1)), {"d": conv(), "bn": nn.BatchNorm3d(4)}),
    "cat-of-one-tensor-twice-along-space": (
        lambda m, x: (lambda y: m.bn(torch.cat([y, y], 2)))(m.c(x)), {"bn": BN(4)}),
    "pixel-shuffle": (lambda m, x: m.bn(F.pixel_shuffle(m.c(x), 2)), {"c": conv(4, 12), "bn": BN(3)}),
    "negated": (lambda m, x: m.bn(-m.c(x)), {"bn": BN(4)}),
    "number-minus-the-result": (lambda m, x: m.bn(3 - m.c(x)), {"bn": BN(4)}),
    "tensor-minus-twice-the-result": (lambda m, x: m.bn(torch.rsub(m.c(x), m.h.step, alpha=2)), {"bn": BN(4)}),
    "divided-by-a-number": (lambda m, x: m.bn(torch.true_divide(m.c(x), 3)), {"bn": BN(4)}),
    "times-a-parameter": (lambda m, x: m.bn(m.h.gain[:, None, None] * m.c(x)), {"bn": BN(4)}),
    "over-a-computed-constant": (lambda m, x: m.bn(m.c(x) / m.h.gain.exp().view(1, 4, 1, 1)), {"bn": BN(4)}),
    "plus-a-buffer": (lambda m, x: m.bn(m.c(x) + m.h.numbers.view(1, -1, 1, 1)), {"bn": BN(4)}),
    "plus-twice-a-buffer": (lambda m, x: m.bn(torch.add(m.c(x), m.h.numbers[:, None, None], alpha=2)), {"bn": BN(4)}),
    "buffer-minus-half-the-result": (
        lambda m, x: m.bn(torch.sub(m.h.numbers[:, None, None], m.c(x), alpha=0.5)), {"bn": BN(4)}),
    "plus-a-literal": (lambda m, x: m.bn(m.c(x) + torch.tensor([1.0, 2, 3, 4.5]).view(4, 1, 1)), {"bn": BN(4)}),
    "plus-itself": (lambda m, x: (lambda y: m.bn(torch.add(y, y, alpha=2)))(m.c(x)), {"bn": BN(4)}),
    "plus-a-global-mean": (
        lambda m, x: m.bn(m.c(x) + m.d(x).mean((2, 3), keepdim=True)), {"d": conv(), "bn": BN(4)}),
    "embedding-plus-the-result": (
        lambda m, x: m.bn(torch.sub(m.fc(x.mean((2, 3)))[:, :, None, None], m.c(x), alpha=2)),
        {"fc": nn.Linear(4, 4), "bn": BN(4)}),
    "sum-of-rows-and-columns": (
        lambda m, x: m.bn(m.c(x).mean(2, keepdim=True) - m.d(x).mean(3, keepdim=True)), {"d": conv(), "bn": BN(4)}),
    "mt-and-t": (lambda m, x: m.bn(m.c(x).mT.permute(3, 2, 1, 0).T), {"bn": BN(4)}),
    "forward-through-an-index": (lambda m, x: m.d(m.bn(x)[:, m.h.order[:3]]), {"d": conv(3, 2), "bn": BN(4)}),
    "forward-through-repeats": (
        lambda m, x: m.d(m.bn(x).repeat(1, 2, 1, 1).repeat_interleave(2, 1)), {"d": conv(16, 2), "bn": BN(4)}),
    "forward-through-an-expand": (
        lambda m, x: m.d(m.bn(x)[:, 1:2].expand(-1, 3, -1, -1)), {"d": conv(3, 2), "bn": BN(4)}),
    "forward-through-a-stack": (
        lambda m, x: m.d(torch.stack([m.bn(x), x], 1).flatten(1, 2)), {"d": conv(8, 2), "bn": BN(4)}),
    "forward-through-an-unshuffle": (
        lambda m, x: m.d(F.pixel_unshuffle(m.bn(x), 2)), {"d": conv(16, 2), "bn": BN(4)}),
    "forward-through-constants": (
        lambda m, x: m.d(1 - m.bn(x) * m.h.zero.view(4, 1, 1) + m.h.numbers.view(4, 1, 1)),
        {"d": conv(4, 2), "bn": BN(4)}),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDED)
def test_folded(name):
    forward, layers = FOLDED[name]
    model, inputs = _model(forward, **layers)
    norms = sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
    before = copy.deepcopy(model.state_dict())
    done = fold(model, inputs, prove="formula")
    assert len(done.applied) == norms and not done.refused
    torch.testing.assert_close(done.model(inputs), model(inputs), rtol=1e-10, atol=1e-10)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


ALIKE = {
    "unshuffle": lambda m, x: m.bn(F.pixel_unshuffle(m.c(x)[:, :1], 2)),
    "repeat": lambda m, x: m.bn(m.c(x).repeat(1, 2, 1, 1)[:, ::2]),
    "expand": lambda m, x: m.bn(m.c(x).mean(1, keepdim=True).expand(-1, 4, -1, -1)),
    "forward-shuffle": lambda m, x: m.d(F.pixel_shuffle(m.bn(x), 2)),
}


@pytest.mark.parametrize("name", ALIKE)
def test_channels_that_are_scaled_alike_may_be_regrouped(name):
    model, inputs = _model(ALIKE[name], bn=BN(4), d=conv(1, 2))
    _alike(model.bn)
    done = fold(model, inputs, prove="formula")
    assert len(done.applied) == 1, done.refused
    torch.testing.assert_close(done.model(inputs), model(inputs), rtol=1e-10, atol=1e-10)


def test_a_literal_that_the_dtype_rounds_is_not_taken_for_exact():
    model, inputs = _model(lambda m, x: m.bn(m.c(x) * torch.tensor(0.1)), bn=BN(4))
    done = fold(model.float(), inputs.float(), prove="formula")
    assert not done.applied and "are rounded to torch.float32" in done.refused[0].reason


def test_an_old_checkpoint_is_folded_with_its_own_constants():
    model, inputs = _model(lambda m, x: m.bn((m.c(x) + m.h.numbers.view(4, 1, 1))[:, m.h.order]), bn=BN(4))
    other = randomise(copy.deepcopy(model), seed=3)
    other.h.numbers.copy_(torch.tensor([3.0, 1.0, -2.0, 0.5]))
    other.h.order.copy_(torch.tensor([1, 2, 0, 3]))
    done = fold(model, inputs, prove="none")
    done.model.load_state_dict(done.migrate(other.state_dict()))
    torch.testing.assert_close(done.model(inputs), other(inputs), rtol=1e-10, atol=1e-10)


def test_biases_are_dropped_through_constants_and_repeated_summands():
    def forward(m, x):
        return m.bn(3 - m.c(x) + m.fc(x.mean((2, 3)))[:, :, None, None] + m.h.numbers.view(4, 1, 1))

    model, inputs = _model(forward, fc=nn.Linear(4, 4), bn=BN(4))
    done = drop_bias(model, inputs, prove="formula")
    assert [change.where for change in done.applied] == ["c", "fc"]
    torch.testing.assert_close(done.model(inputs), model(inputs), rtol=1e-10, atol=1e-10)


def test_no_bias_is_dropped_through_a_factor_that_training_changes():
    model, inputs = _model(lambda m, x: m.bn(m.c(x) * m.h.gain.view(4, 1, 1)), bn=BN(4))
    done = drop_bias(model, inputs, prove="none")
    assert not done.applied and "which training may change" in done.refused[0].reason


class Sliced(nn.Conv2d):
    """Uses a part of its weight for each of two inputs, as octave convolutions do."""

    def forward(self, input):
        low, high = input.chunk(2, 1)
        return F.conv2d(low, self.weight[:, :2]) + F.conv2d(high, self.weight[:, 2:])


def test_a_weight_that_forward_slices_is_the_reason():
    done = fold(chain(Sliced(4, 4, 3, bias=False), BN(4)).double(), image(), prove="none")
    assert "the weight of `0` is computed, not stored, by `slice`" in done.refused[0].reason


def test_rows_through_an_index():
    model = lambda_of(lambda m, x: m.bn(m.fc(x)[:, ORDER]), fc=nn.Linear(4, 4), bn=nn.BatchNorm1d(4)).double()
    done = fold(model, rows(), prove="full")
    assert len(done.applied) == 1
    torch.testing.assert_close(done.model(rows()), model(rows()), rtol=1e-10, atol=1e-10)
