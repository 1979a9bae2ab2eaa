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
    "times-numbers": _repvgg(conv(padding=1), lambda m, x: (0.5 * m.bn1(m.main(x)) - m.identity(x) / 3).relu()),
    "in-a-doubled-sum": _repvgg(conv(padding=1), lambda m, x: (lambda y: y + y)(m.bn1(m.main(x)) + m.identity(x))),
    "beside-a-number-for-each-channel": _repvgg(
        conv(padding=1), lambda m, x: (m.identity(x) + m.own.bias[:, None, None] + m.bn1(m.main(x))).relu(),
        own=nn.Linear(1, 4),
    ),
    "behind-dropout": _repvgg(
        conv(padding=1), lambda m, x: (m.bn1(m.main(x)) + m.drop(m.identity(x))).relu(), drop=nn.Dropout(0.5)
    ),
    "size-of-a-branch-read": _repvgg(
        conv(padding=1), lambda m, x: (lambda y: (y + m.bn1(m.main(x))).view(y.shape[0], -1))(m.identity(x))
    ),
    "expanded-as-a-branch": _repvgg(
        conv(padding=1), lambda m, x: (lambda y: y + m.bn1(m.main(x)) + x[:, :1].expand_as(y))(m.identity(x))
    ),
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


def _sum(*convs, forward=None, norms=True):
    """The sum of convolutions of one input, each with a norm."""
    layers = {f"c{i}": one for i, one in enumerate(convs)}
    if norms:
        layers |= {f"n{i}": BN(one.out_channels) for i, one in enumerate(convs)}
    return lambda_of(
        forward or (lambda m, x: sum(getattr(m, f"n{i}")(getattr(m, f"c{i}")(x)) for i in range(len(convs))).relu()),
        **layers,
    )


def _loop(m, x):
    out = 0
    for branch in m.branches:
        if branch is not None:
            out += branch(x)
    return out.relu()


def _in_place(m, x):
    out = m.scale(x)
    out += m.main(x)
    out += m.identity(x)
    return out.relu()


def _listed():
    blocks = [nn.Sequential(conv(padding=1, bias=False), BN(4)), nn.Sequential(conv(4, 4, 1), BN(4)), BN(4)]
    return lambda_of(_loop, branches=nn.ModuleList(blocks))


ONE = {
    "three-by-three-and-one-by-one": (_sum(conv(4, 6, padding=1), conv(4, 6, 1)), 1),
    "without-biases": (_sum(conv(padding=1, bias=False), conv(4, 4, 1, bias=False)), 1),
    "without-norms-and-biases": (
        _sum(conv(padding=1, bias=False), conv(4, 4, 1, bias=False), norms=False,
             forward=lambda m, x: (m.c0(x) + m.c1(x)).relu()), 1),
    "stride-two": (_sum(conv(4, 6, stride=2, padding=1), conv(4, 6, 1, stride=2)), 1),
    "grouped": (_sum(conv(4, 8, padding=1, groups=2), conv(4, 8, 1, groups=2)), 1),
    "depthwise": (_sum(conv(padding=1, groups=4), conv(4, 4, 1, groups=4)), 1),
    "dilated-and-one-by-one": (_sum(conv(padding=2, dilation=2), conv(4, 4, 1)), 1),
    "both-dilated": (_sum(conv(4, 4, 5, padding=4, dilation=2), conv(padding=2, dilation=2)), 1),
    "same-size-twice": (_sum(conv(padding=1), conv(padding=1), conv(padding=1)), 1),
    "five-three-and-one": (_sum(conv(4, 4, 1), conv(4, 4, 5, padding=2), conv(padding=1)), 1),
    "one-by-three-and-three-by-three": (_sum(conv(4, 4, (1, 3), padding=(0, 1)), conv(padding=1)), 1),
    "padding-same": (_sum(conv(padding="same"), conv(4, 4, 1, padding="valid")), 1),
    "one-by-one-first": (_sum(conv(4, 4, 1), conv(padding=1)), 1),
    "subtracted": (
        _sum(conv(padding=1), conv(4, 4, 1), forward=lambda m, x: (m.n1(m.c1(x)) - m.n0(m.c0(x))).relu()), 1),
    "beside-a-residual": (
        _sum(conv(padding=1), conv(4, 4, 1), forward=lambda m, x: (x + m.n0(m.c0(x)) + m.n1(m.c1(x))).relu()), 1),
    "norm-behind-the-sum": (
        lambda_of(lambda m, x: m.n(m.a(x) + m.b(x)).relu(), a=conv(padding=1), b=conv(4, 4, 1), n=BN(4)), 1),
    "module-list-in-a-loop": (_listed(), 1),
    "repvgg-block": (
        _repvgg(conv(padding=1), lambda m, x: (m.bn1(m.main(x)) + m.bn2(m.one(x)) + m.identity(x)).relu(),
                one=conv(4, 4, 1), bn2=BN(4)), 1),
    "mobileone-adds-in-place": (
        lambda_of(_in_place, scale=nn.Sequential(conv(4, 4, 1, groups=4), BN(4)),
                  main=nn.Sequential(conv(padding=1, groups=4), BN(4)), identity=BN(4)), 1),
    "in-place-with-a-stride": (
        lambda_of(lambda m, x: m.scale(x).add_(m.main(x)).relu(), scale=nn.Sequential(conv(4, 6, 1, stride=2), BN(6)),
                  main=nn.Sequential(conv(4, 6, stride=2, padding=1), BN(6))), 1),
    "in-one-dimension": (
        lambda_of(lambda m, x: (m.a(x.flatten(2)) + m.b(x.flatten(2))).relu(), a=nn.Conv1d(4, 4, 3, padding=1),
                  b=nn.Conv1d(4, 4, 1)), 2),  # each flatten is a tensor of its own
    "times-numbers": (
        _sum(conv(padding=1), conv(4, 4, 1), forward=lambda m, x: (m.n0(m.c0(x)) / 2 - 3 * m.n1(m.c1(x))).relu()), 1),
    "in-a-doubled-sum": (
        _sum(conv(padding=1), conv(4, 4, 1), norms=False,
             forward=lambda m, x: (lambda y: y + y)(m.c0(x) + m.c1(x))), 1),
    "added-to-itself": (_sum(conv(padding=1), norms=False, forward=lambda m, x: (lambda y: y + y)(m.c0(x))), 1),
    "subtracted-from-itself": (
        _sum(conv(padding=1), conv(4, 4, 1), norms=False,
             forward=lambda m, x: (lambda y: y - y)(m.c0(x)) + m.c1(x)), 2),
    "beside-a-number-for-each-channel": (
        _sum(conv(padding=1), conv(4, 4, 1), norms=False,
             forward=lambda m, x: m.c0(x) + x.mean((2, 3), keepdim=True) + m.c1(x)), 1),
    "kernels-that-do-not-lie-on-each-other": (_sum(conv(4, 4, 3, padding=0), conv(4, 4, 1, padding=(0, 0)), norms=False,
        forward=lambda m, x: m.c0(x) + m.c1(x[:, :, 1:-1, 1:-1])), 2),
    "even-kernels": (_sum(conv(4, 4, 2, padding=0), conv(4, 4, 4, padding=1)), 1),
    "groups-differ": (_sum(conv(padding=1), conv(4, 4, 1, groups=2)), 2),
    "dilations-differ": (_sum(conv(4, 4, 5, padding=2), conv(padding=2, dilation=2)), 2),
    "taps-between-those-of-a-dilated-kernel": (_sum(conv(4, 4, 2, padding=1, dilation=2), conv(4, 4, 1)), 2),
    "reflected-padding-is-another-tensor": (
        _sum(conv(padding=1, padding_mode="reflect"), conv(4, 4, 1)), 2),
    "read-elsewhere-too": (
        _sum(conv(padding=1), conv(4, 4, 1), norms=False,
             forward=lambda m, x: (lambda y: (m.c0(x) + y).relu() + y)(m.c1(x))), 2),
}  # fmt: skip


def _convolutions(model):
    return [module for module in model.modules() if isinstance(module, nn.modules.conv._ConvNd)]


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("size", [6, 7], ids=["even", "odd"])
def test_convolutions_of_one_input_become_one_or_stay(name, size):
    model, left = ONE[name]
    model = model.double()
    if name == "even-kernels" and size == 7:
        size = 8
    inputs = image(size=size)
    done = fold(model, inputs, merge_branches=True, prove="formula")
    assert len(_convolutions(done.model)) == left, done.refused
    assert not [m for m in done.model.modules() if isinstance(m, BN)]
    torch.testing.assert_close(done.model(inputs), model(inputs), rtol=0, atol=1e-10)
    other = image(size=size + 3, batch=1)
    torch.testing.assert_close(done.model(other), model(other), rtol=0, atol=1e-10)
    plain = fold(model, inputs, prove="none").model
    assert len(_convolutions(plain)) == len(_convolutions(model))  # not without being asked


def test_what_does_not_fit_says_why():
    done = fold(_sum(conv(padding=1), conv(4, 4, 1, groups=2)), image().float(), merge_branches=True, prove="none")
    assert [refusal.reason for refusal in done.refused] == ["`c1` stays beside `c0`, since its groups are others"]


def _cleared(m, x):
    kept = m.c0(x)
    x[:, 0] = 0
    return kept + m.c1(x)


def _bounded(m, x):
    seen = x.view(x.shape)
    kept = m.c0(seen)
    x.relu_()
    return kept + m.c1(seen)


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        pytest.param(_cleared, "`fill` changes what `c0` and `c1` read, between the two", id="part-overwritten"),
        pytest.param(
            _bounded, "`relu` changes what `c0` and `c1` read, between the two", id="memory-of-a-view-changed"
        ),
        pytest.param(lambda m, x: m.c0(x) + m.c1(x) + m.c1(x), "`c1` is called more than once", id="called-twice"),
    ],
)
def test_branches_that_do_not_read_the_same_stay(forward, reason):
    model = lambda_of(lambda m, x: forward(m, x.clone()), c0=conv(padding=1), c1=conv(4, 4, 1)).double()
    done = fold(model, image(), merge_branches=True, prove="formula")
    assert [one.reason for one in done.refused] == [f"`c1` stays beside `c0`, since {reason}"]


def test_the_next_convolution_takes_what_the_first_may_not():
    model = _repvgg(conv(padding=1), lambda m, x: m.identity(x) + m.one(x) + m.main(x), one=conv(4, 4, 1)).double()
    model.one.register_forward_hook(lambda *_: None)
    done = fold(model, image(), merge_branches=True, prove="formula")
    assert [(change.where, change.what) for change in done.applied] == [("identity", "merged into the branch `main`")]


@pytest.mark.parametrize("name", ["branches.0", "branches.1", "branches.1.1"])
def test_a_branch_with_a_hook_around_it_stays(name):
    model = _listed().double()
    model.get_submodule(name).register_forward_hook(lambda *_: None)
    done = fold(model, image(), merge_branches=True, prove="formula")
    assert len(_convolutions(done.model)) == 2
    assert any(f"`{name}` has hooks" in one.reason for one in done.refused)
    torch.testing.assert_close(done.model(image()), model(image()), rtol=0, atol=1e-10)


def test_a_norm_that_is_not_merged_says_why():
    model = _repvgg(conv(padding=1), lambda m, x: (m.main(x) + m.identity(x)).relu()).double()
    model.main.register_forward_hook(lambda *_: None)
    done = fold(model, image(), merge_branches=True, pad_constants=True, prove="none")
    reasons = {one.where: one.reason for one in done.refused}
    assert "; it is not merged, since `main` has hooks, which see what goes through it; " in reasons["identity"]
    assert reasons["identity"].endswith("; its reader is not padded, since `add` is no convolution")
    assert "not merged" not in {one.where: one.reason for one in fold(model, image(), prove="none").refused}["identity"]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda m: m.c1.register_forward_hook(lambda *_: None), id="hook"),
        pytest.param(lambda m: setattr(m.c1, "weight", nn.Parameter(m.c0.weight[:, :, :1, :1].detach())), id="fine"),
        pytest.param(lambda m: setattr(m, "kept", [m.c1]), id="plain-list"),
    ],
)
def test_a_branch_that_others_look_at_stays(spoil, request):
    model = _sum(conv(padding=1), conv(4, 4, 1), norms=False, forward=lambda m, x: m.c0(x) + m.c1(x))
    spoil(model)
    done = fold(model.double(), image(), merge_branches=True, prove="formula")
    assert len(_convolutions(done.model)) == (1 if "fine" in request.node.name else 2)


@pytest.mark.parametrize(
    "forward",
    [
        pytest.param(lambda m, x: torch.add(m.identity(x), m.main(x), alpha=0), id="norm-and-nothing-of-the-conv"),
        pytest.param(lambda m, x: torch.add(m.small(x), m.main(x), alpha=0), id="conv-and-nothing-of-the-larger"),
    ],
)
def test_what_is_added_zero_times_takes_nothing_over(forward):
    model = _repvgg(conv(padding=1), forward, small=conv(4, 4, 1)).double()
    done = fold(model, image(), merge_branches=True, prove="formula")
    assert done.applied == []
    torch.testing.assert_close(done.model(image()), model(image()), rtol=0, atol=0)


def test_a_sum_that_multiplies_by_zero_is_named():
    model = lambda_of(
        lambda m, x: torch.add(m.small(x), m.large(x), alpha=0), large=conv(padding=1), small=conv(4, 4, 1)
    )
    done = fold(model.double(), image(), merge_branches=True, prove="formula")
    assert [(one.where, one.reason) for one in done.refused] == [
        ("small", "`small` stays as it is, since `add` multiplies what it adds by 0")
    ]


def test_a_sum_of_no_convolutions_that_multiplies_by_zero_is_not_worth_a_word():
    model = lambda_of(lambda m, x: torch.add(m.one(x), x, alpha=0), one=nn.Linear(6, 6))
    assert fold(model.double(), image(), merge_branches=True, prove="formula").refused == []


@pytest.mark.parametrize("in_place", [False, True])
def test_the_merged_model_is_scripted(in_place):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.large, self.small = conv(padding=1), conv(4, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.small(x).add_(self.large(x)) if in_place else self.small(x) + self.large(x)

    model = Two().double()
    done = fold(model, image(), merge_branches=True, prove="formula")
    assert [change.where for change in done.applied] == ["small"]
    gone = torch.jit.script(done.model.small)
    torch.testing.assert_close(gone(image(size=9)), done.model.small(image(size=9)))
    torch.testing.assert_close(done.model(image(size=9)), model(image(size=9)), rtol=0, atol=1e-10)


def test_a_functional_convolution_is_named():
    model = lambda_of(
        lambda m, x: m.large(x) + torch.nn.functional.conv2d(x, m.small.weight),
        large=conv(padding=1),
        small=conv(4, 4, 1),
    )
    done = fold(model.double(), image(), merge_branches=True, prove="none")
    assert done.refused[0].reason.startswith("`conv2d` stays beside `large`")
