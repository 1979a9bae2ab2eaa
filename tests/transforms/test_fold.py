"""Folds that must happen, each equal to the original in float64 to 1e-10. Refusals stand in test_fold_refusals.py."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transform_networks import chain, conv, image, lambda_of, rows

from normfix.transforms.fold import fold

BN = nn.BatchNorm2d


def _volume():
    return torch.randn(2, 4, 4, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _signal():
    return torch.randn(2, 4, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _convolutions():
    for rank, inputs in ((1, _signal), (2, image), (3, _volume)):
        norm = getattr(nn, f"BatchNorm{rank}d")
        for groups in (1, 2, 4):
            for bias in (False, True):
                layer = getattr(nn, f"Conv{rank}d")(4, 8, 3, groups=groups, bias=bias)
                yield f"conv{rank}d-groups-{groups}-bias-{bias}", chain(layer, norm(8)), inputs()
                layer = getattr(nn, f"ConvTranspose{rank}d")(4, 8, 3, groups=groups, bias=bias, stride=2)
                yield f"transposed-{rank}d-groups-{groups}-bias-{bias}-axis-1-not-0", chain(layer, norm(8)), inputs()
        square = getattr(nn, f"ConvTranspose{rank}d")(4, 4, 3)
        yield f"transposed-{rank}d-in-equals-out-hides-a-wrong-axis", chain(square, norm(4)), inputs()
    for mode in ("zeros", "reflect", "replicate", "circular"):
        yield f"padding-{mode}-is-before-the-conv", chain(conv(padding=1, padding_mode=mode), BN(4)), image()
    for name in ("same", "valid"):
        yield f"padding-string-{name}", chain(conv(padding=name), BN(4)), image()
    yield "linear-on-2d", chain(nn.Linear(4, 5), nn.BatchNorm1d(5)), rows()
    yield "linear-without-bias", chain(nn.Linear(4, 5, bias=False), nn.BatchNorm1d(5)), rows()


def _parameters():
    yield "affine-false-has-no-gamma", chain(conv(), BN(4, affine=False)), image()
    yield "norm-with-weight-but-no-bias", chain(conv(), BN(4, bias=False)), image()
    yield "eps-far-from-default", chain(conv(), BN(4, eps=0.7)), image()
    yield "eps-zero", chain(conv(), BN(4, eps=0.0)), image()
    yield "momentum-none-is-a-training-matter", chain(conv(), BN(4, momentum=None)), image()
    tiny = chain(conv(), BN(4))
    tiny[1].running_var.fill_(1e-10)
    yield "variance-1e-10-needs-float64", tiny, image()
    dead = chain(conv(), BN(4))
    nn.init.zeros_(dead[1].weight)
    yield "gamma-zero-everywhere", dead, image()
    yield "sync-batch-norm-in-eval", chain(conv(), nn.SyncBatchNorm(4)), image()
    yield (
        "instance-norm-with-tracked-statistics",
        chain(conv(), nn.InstanceNorm2d(4, track_running_stats=True)),
        image(),
    )
    affine = nn.InstanceNorm2d(4, affine=True, track_running_stats=True)
    yield "instance-norm-affine-and-tracked", chain(conv(), affine), image()
    yield "instance-norm-unbatched", chain(conv(), nn.InstanceNorm2d(4, track_running_stats=True)), image()[0]


def _through():
    yield "identity-between", chain(conv(), nn.Identity(), BN(4)), image()
    yield "dropout-in-eval-between", chain(conv(), nn.Dropout(), BN(4)), image()
    yield "dropout2d-in-eval-between", chain(conv(), nn.Dropout2d(), BN(4)), image()
    yield "average-pooling-without-padding", chain(conv(), nn.AvgPool2d(2), BN(4)), image()
    yield "adaptive-pooling", chain(conv(), nn.AdaptiveAvgPool2d(2), BN(4)), image()
    yield (
        "average-pool-that-leaves-padding-out",
        chain(conv(), nn.AvgPool2d(3, 1, 1, count_include_pad=False), BN(4)),
        image(),
    )
    yield "nearest-resize", chain(conv(), nn.Upsample(scale_factor=2), BN(4)), image()
    yield "bilinear-resize", chain(conv(), nn.Upsample(scale_factor=2, mode="bilinear"), BN(4)), image()
    yield "reflect-padding-layer", chain(conv(), nn.ReflectionPad2d(1), BN(4)), image()
    positive = chain(conv(), nn.MaxPool2d(2), BN(4))
    nn.init.uniform_(positive[2].weight, 0.5, 1.0)
    yield "max-pool-when-every-scale-is-positive", positive, image()
    yield (
        "levit-linear-flatten-0-1",
        lambda_of(lambda m, x: m.bn(m.fc(x).flatten(0, 1)).reshape(3, 2, 5), fc=nn.Linear(4, 5), bn=nn.BatchNorm1d(5)),
        rows(4, 6).reshape(3, 2, 4),
    )
    yield (
        "levit-reshape-as",
        lambda_of(
            lambda m, x: (lambda y: m.bn(y.flatten(0, 1)).reshape_as(y))(m.fc(x)),
            fc=nn.Linear(4, 5),
            bn=nn.BatchNorm1d(5),
        ),
        rows(4, 6).reshape(3, 2, 4),
    )
    yield (
        "linear-transposed-so-that-features-are-channels",
        lambda_of(lambda m, x: m.bn(m.fc(x).transpose(1, 2)), fc=nn.Linear(4, 5), bn=nn.BatchNorm1d(5)),
        rows(4, 6).reshape(3, 2, 4),
    )
    yield (
        "linear-view-batch-norm-2d",
        lambda_of(lambda m, x: m.bn(m.fc(x).view(-1, 4, 3, 3)), fc=nn.Linear(4, 36), bn=BN(4)),
        rows(),
    )
    yield (
        "permute-there-and-back",
        lambda_of(lambda m, x: m.bn(m.c(x).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)), c=conv(), bn=BN(4)),
        image(),
    )
    yield (
        "channel-shuffle-moves-each-scale",
        lambda_of(
            lambda m, x: m.bn(m.c(x).view(2, 2, 2, 4, 4).transpose(1, 2).reshape(2, 4, 4, 4)), c=conv(), bn=BN(4)
        ),
        image(),
    )
    yield (
        "unsqueeze-conv1d-to-2d",
        lambda_of(lambda m, x: m.bn(m.c(x).unsqueeze(-1)), c=nn.Conv1d(4, 4, 3), bn=BN(4)),
        _signal(),
    )
    yield (
        "unbatched-conv-then-unsqueeze",
        lambda_of(lambda m, x: m.bn(m.c(x).unsqueeze(0)), c=conv(), bn=BN(4)),
        image()[0],
    )
    yield "mean-over-space", lambda_of(lambda m, x: m.bn(m.c(x).mean((2, 3))), c=conv(), bn=nn.BatchNorm1d(4)), image()
    yield "flatten-of-one-by-one", chain(conv(4, 4, 6), nn.Flatten(), nn.BatchNorm1d(4)), image()
    yield "crop-of-the-result", lambda_of(lambda m, x: m.bn(m.c(x)[:, :, 1:-1]), c=conv(), bn=BN(4)), image()
    yield "number-added-and-multiplied", lambda_of(lambda m, x: m.bn((m.c(x) + 3) * 2), c=conv(), bn=BN(4)), image()


def _joins():
    yield (
        "cat-each-branch-takes-its-slice",
        lambda_of(lambda m, x: m.bn(torch.cat([m.a(x), m.b(x)], 1)), a=conv(4, 3), b=conv(4, 5), bn=BN(8)),
        image(),
    )
    yield (
        "cat-of-conv-and-transposed",
        lambda_of(
            lambda m, x: m.bn(torch.cat([m.a(x), m.b(x)], 1)),
            a=conv(4, 3, 3, padding=1),
            b=nn.ConvTranspose2d(4, 2, 3, padding=1),
            bn=BN(5),
        ),
        image(),
    )
    yield (
        "cat-over-space-gives-all-channels-to-both",
        lambda_of(lambda m, x: m.bn(torch.cat([m.a(x), m.b(x)], 2)), a=conv(), b=conv(), bn=BN(4)),
        image(),
    )
    yield (
        "sum-the-first-takes-the-shift",
        lambda_of(lambda m, x: m.bn(m.a(x) + m.b(x)), a=conv(), b=conv(), bn=BN(4)),
        image(),
    )
    yield (
        "difference-the-second-is-negated",
        lambda_of(lambda m, x: m.bn(m.a(x) - m.b(x)), a=conv(), b=conv(), bn=BN(4)),
        image(),
    )
    yield (
        "sum-with-alpha",
        lambda_of(lambda m, x: m.bn(torch.add(m.a(x), m.b(x), alpha=3)), a=conv(), b=conv(), bn=BN(4)),
        image(),
    )
    yield (
        "sum-of-three",
        lambda_of(lambda m, x: m.bn(m.a(x) + m.b(x) + m.c(x)), a=conv(), b=conv(), c=conv(), bn=BN(4)),
        image(),
    )


def _norms():
    yield "norm-after-norm-after-conv", chain(conv(), BN(4), BN(4)), image()
    yield (
        "norm-after-norm-alone-leaves-none-for-linear",
        chain(nn.BatchNorm1d(4), nn.BatchNorm1d(4), nn.Linear(4, 3)),
        rows(),
    )
    yield "forward-conv-without-padding", chain(BN(4), conv()), image()
    yield "forward-grouped-conv", chain(BN(4), conv(4, 8, 3, groups=2)), image()
    yield "forward-depthwise-conv", chain(BN(4), conv(4, 8, 3, groups=4, bias=False)), image()
    for mode in ("reflect", "replicate", "circular"):
        yield f"forward-padding-{mode}-is-exact", chain(BN(4), conv(padding=1, padding_mode=mode)), image()
    yield "forward-padding-same-of-a-1x1", chain(BN(4), conv(4, 4, 1, padding="same")), image()
    yield "forward-padding-valid", chain(BN(4), conv(padding="valid")), image()
    still = chain(BN(4, affine=False), conv(padding=1))
    still[0].running_mean.zero_()
    yield "forward-zero-padding-without-a-shift", still, image()
    yield "forward-linear-on-2d", chain(nn.BatchNorm1d(4), nn.Linear(4, 3)), rows()
    yield "forward-flatten-linear", chain(nn.ReLU(), BN(4), nn.Flatten(), nn.Linear(4 * 36, 3)), image()
    yield (
        "forward-global-pool-linear",
        lambda_of(lambda m, x: m.fc(m.bn(x.relu()).mean((2, 3))), bn=BN(4), fc=nn.Linear(4, 3)),
        image(),
    )
    yield (
        "forward-transposed-so-that-channels-are-features",
        lambda_of(lambda m, x: m.fc(m.bn(x).transpose(1, 2)), bn=nn.BatchNorm1d(4), fc=nn.Linear(4, 3)),
        _signal(),
    )
    yield (
        "forward-into-three-readers",
        lambda_of(lambda m, x: (lambda y: m.q(y) + m.k(y) * m.v(y))(m.bn(x)), bn=BN(4), q=conv(), k=conv(), v=conv()),
        image(),
    )
    yield (
        "forward-cat-with-a-plain-tensor",
        lambda_of(lambda m, x: m.c(torch.cat([m.bn(x), x.relu()], 1)), bn=BN(4), c=conv(8, 3)),
        image(),
    )


def _shared():
    block = nn.Sequential(conv(), BN(4))
    yield "one-block-called-twice", lambda_of(lambda m, x: m.b(m.b(x).relu()), b=block), image()
    yield (
        "one-norm-after-two-convs",
        lambda_of(lambda m, x: m.bn(m.a(x)) * m.bn(m.b(x)), a=conv(), b=conv(), bn=BN(4)),
        image(),
    )
    twice = lambda_of(lambda m, x: m.bn(m.c(x)), c=conv(), bn=BN(4))
    twice.other_name = twice.bn
    yield "norm-registered-under-two-names", twice, image()
    named = lambda_of(lambda m, x: m.bn(m.second(x)), first=conv(), bn=BN(4))
    named.second = named.first
    yield "conv-registered-under-two-names", named, image()
    siamese = nn.Sequential(conv(), BN(4))
    yield "siamese-block-called-on-two-halves", lambda_of(lambda m, x: m.b(x[:1]) - m.b(x[1:]), b=siamese), image()
    yield "registration-order-is-not-call-order", lambda_of(lambda m, x: m.bn(m.c(x)), bn=BN(4), c=conv()), image()
    yield (
        "two-convs-then-the-norm-of-the-first",
        lambda_of(lambda m, x: m.bn1(m.c2(m.c1(x))), c1=conv(), bn1=BN(4), c2=conv()),
        image(),
    )
    yield (
        "module-list-and-dict-loops",
        lambda_of(
            lambda m, x: [x := norm(c(x)) for c, norm in zip(m.cs, m.ns.values(), strict=True)][-1],
            cs=nn.ModuleList([conv(), conv()]),
            ns=nn.ModuleDict({"a": BN(4), "b": BN(4)}),
        ),
        image(),
    )
    yield "keyword-calls", lambda_of(lambda m, x: m.bn(input=m.c(input=x)), c=conv(), bn=BN(4)), image()
    yield (
        "conv-with-another-reader-of-the-norm",
        lambda_of(lambda m, x: (lambda y: y + y.relu())(m.bn(m.c(x))), c=conv(), bn=BN(4)),
        image(),
    )
    yield "in-place-activation-after-the-norm", chain(conv(), BN(4), nn.ReLU(inplace=True)), image()


CASES = [*_convolutions(), *_parameters(), *_through(), *_joins(), *_norms(), *_shared()]


@pytest.mark.parametrize(("model", "inputs"), [pytest.param(m, x, id=i) for i, m, x in CASES])
def test_folds_every_norm_and_changes_nothing(model, inputs):
    model = model.double()
    before = copy.deepcopy(model.state_dict())
    expected = model(inputs)
    done = fold(model, inputs, prove="formula")
    assert [refusal.reason for refusal in done.refused] == []
    assert done.applied
    assert not [m for m in done.model.modules() if isinstance(m, (nn.modules.batchnorm._NormBase,))]
    torch.testing.assert_close(
        done.model(inputs), expected, rtol=0, atol=1e-10 * max(1, float(expected.detach().abs().max()))
    )
    assert done.proof.holds and done.proof.formula <= 1e-10
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize("batch", [1, 3])
def test_a_fold_holds_for_other_batch_sizes(batch):
    for name, model, inputs in CASES:
        if inputs.dim() == 4 and "shuffle" not in name:
            model = model.double()
            done = fold(model, inputs, prove="none")
            assert done.applied, name
            other = torch.randn(batch, *inputs.shape[1:], dtype=torch.float64)
            torch.testing.assert_close(done.model(other), model(other), rtol=1e-9, atol=1e-9)


def test_functional_relu_in_between_is_not_an_accident():
    model = lambda_of(lambda m, x: F.relu(m.bn(m.c(x))), c=conv(), bn=BN(4)).double()
    done = fold(model, image(), prove="formula")
    assert [change.where for change in done.applied] == ["bn"]
    torch.testing.assert_close(done.model(image()), model(image()), rtol=0, atol=1e-10)
