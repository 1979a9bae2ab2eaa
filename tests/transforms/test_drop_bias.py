"""drop_bias: the same in eval and in train mode, or refused with the reason."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transform_networks import chain, conv, image, lambda_of, randomise, rows

from normfix.transforms.drop_bias import drop_bias

BN = nn.BatchNorm2d


def _cases():
    yield "conv-batch-norm", chain(conv(), BN(4)), image()
    yield "transposed-conv", chain(nn.ConvTranspose2d(4, 6, 3, groups=2), BN(6)), image()
    yield "linear-on-2d", chain(nn.Linear(4, 5), nn.BatchNorm1d(5)), rows()
    yield "momentum-none", chain(conv(), BN(4, momentum=None)), image()
    yield "no-running-statistics-nothing-to-shift", chain(conv(), BN(4, track_running_stats=False)), image()
    yield "instance-norm-untracked", chain(conv(), nn.InstanceNorm2d(4)), image()
    yield "instance-norm-tracked", chain(conv(), nn.InstanceNorm2d(4, track_running_stats=True)), image()
    yield "group-norm-of-one-channel-a-group", chain(conv(), nn.GroupNorm(4, 4)), image()
    yield "sync-batch-norm", chain(conv(), nn.SyncBatchNorm(4)), image()
    yield "max-pool-hands-a-constant-on", chain(conv(), nn.MaxPool2d(2), BN(4)), image()
    yield "average-pool-without-padding", chain(conv(), nn.AvgPool2d(2), BN(4)), image()
    yield "resize", chain(conv(), nn.Upsample(scale_factor=2, mode="bilinear"), BN(4)), image()
    yield "reflect-padding", chain(conv(), nn.ReflectionPad2d(1), BN(4)), image()
    yield "flatten-repeats-each-bias", chain(conv(), nn.Flatten(), nn.BatchNorm1d(64)), image()
    yield (
        "cat-shifts-a-slice",
        lambda_of(lambda m, x: m.bn(torch.cat([x, m.c(x)], 1)), c=conv(padding=1), bn=BN(8)),
        image(),
    )
    yield "sum-with-a-residual", lambda_of(lambda m, x: m.bn(x + m.c(x)), c=conv(padding=1), bn=BN(4)), image()
    yield (
        "one-conv-two-norms",
        lambda_of(lambda m, x: (lambda y: m.a(y) * m.b(y))(m.c(x)), c=conv(), a=BN(4), b=BN(4)),
        image(),
    )
    yield "one-block-called-twice", lambda_of(lambda m, x: m.bn(m.c(m.bn(m.c(x)).relu())), c=conv(), bn=BN(4)), image()
    yield (
        "permuted-there-and-back",
        lambda_of(lambda m, x: m.bn(m.c(x).permute(0, 2, 3, 1).permute(0, 3, 1, 2)), c=conv(), bn=BN(4)),
        image(),
    )


CASES = list(_cases())


@pytest.mark.parametrize(("model", "inputs"), [pytest.param(m, x, id=i) for i, m, x in CASES])
def test_the_bias_goes_and_both_modes_stay(model, inputs):
    model = model.double()
    if any(isinstance(module, nn.SyncBatchNorm) for module in model.modules()):
        done = drop_bias(model, inputs, prove="none")
    else:
        done = drop_bias(model, inputs, prove="formula")
    biases = [name for name, _ in done.model.named_parameters() if name.endswith("bias")]
    producers = [n for n, m in done.model.named_modules() if isinstance(m, (nn.modules.conv._ConvNd, nn.Linear))]
    assert done.refused == [] and len(done.applied) == len(producers)
    assert not [name for name in biases if name.rpartition(".")[0] in producers]
    for training in (False, True):
        if training and any(isinstance(module, nn.SyncBatchNorm) for module in model.modules()):
            continue
        old, new = copy.deepcopy(model).train(training), copy.deepcopy(done.model).train(training)
        torch.testing.assert_close(new(inputs), old(inputs), rtol=0, atol=1e-10)
        old.eval(), new.eval()  # the shift must survive the update of the running mean
        torch.testing.assert_close(new(inputs), old(inputs), rtol=0, atol=1e-10)


def _frozen():
    model = chain(conv(), BN(4)).train()
    model[1].eval()
    return model


def _hooked():
    model = chain(conv(), BN(4))
    model[0].register_forward_hook(lambda *_: None)
    return model


def _tied():
    model = lambda_of(lambda m, x: m.bn(m.a(x)) + m.b(x), a=conv(), b=conv(), bn=BN(4))
    model.b.bias = model.a.bias
    return model


REFUSALS = {
    "layer-norm-runs-over-channels": (chain(nn.Linear(4, 4), nn.LayerNorm(4)), rows(), None),
    "group-norm-of-two-channels": (chain(conv(), nn.GroupNorm(2, 4)), image(), "several channels"),
    "linear-on-3d": (chain(nn.Linear(4, 4), nn.BatchNorm1d(6)), rows(4, 12).reshape(2, 6, 4), "another axis"),
    "linear-view-batch-norm-2d": (
        lambda_of(lambda m, x: m.bn(m.fc(x).view(-1, 4, 3, 3)), fc=nn.Linear(4, 36), bn=BN(4)), rows(), "another axis"),
    "relu-between": (chain(conv(), nn.ReLU(), BN(4)), image(), "stands between"),
    "dropout-between-even-in-eval": (chain(conv(), nn.Dropout(), BN(4)), image(), "drops elements"),
    "zero-padding-between": (chain(conv(), nn.ZeroPad2d(1), BN(4)), image(), "pads with a constant"),
    "average-pool-with-padding": (chain(conv(), nn.AvgPool2d(3, 1, 1), BN(4)), image(), "averages padding"),
    "output-read-elsewhere": (
        lambda_of(lambda m, x: (lambda y: m.bn(y) + y.relu())(m.c(x)), c=conv(), bn=BN(4)), image(), "stands between"),
    "output-of-the-model": (
        lambda_of(lambda m, x: (lambda y: (m.bn(y), y))(m.c(x)), c=conv(), bn=BN(4)), image(), "output of the model"),
    "bias-tied": (_tied(), image(), "is tied to"),
    "frozen-norm-needs-the-bias": (_frozen(), image(), "is frozen"),
    "hook-sees-the-bias": (_hooked(), image(), "has hooks"),
    "norm-also-reached-without-the-bias": (
        lambda_of(lambda m, x: m.bn(m.c(x)) + m.bn(x[:, :, 1:-1, 1:-1]), c=conv(), bn=BN(4)), image(),
        "called elsewhere"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_the_bias_stays(name):
    model, inputs, reason = REFUSALS[name]
    model = copy.deepcopy(model).double()
    done = drop_bias(model, inputs, prove="none")
    assert done.applied == []
    assert reason is None or [reason in refusal.reason for refusal in done.refused] == [True], done.refused


def test_an_old_checkpoint_moves_to_the_new_model():
    model = chain(conv(), BN(4), nn.ReLU(), conv()).double()
    other = randomise(copy.deepcopy(model), seed=5)
    nn.init.normal_(other[0].bias)
    done = drop_bias(model, image(), prove="none")
    new = copy.deepcopy(done.model)
    new.load_state_dict(done.migrate(other.state_dict()), strict=True)
    torch.testing.assert_close(new.eval()(image()), other(image()), rtol=0, atol=1e-10)


def test_modes_and_the_caller_stay():
    model = chain(conv(), BN(4)).train()
    state = copy.deepcopy(model.state_dict())
    done = drop_bias(model, image().float(), prove="formula")
    assert model.training and done.model.training
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())
