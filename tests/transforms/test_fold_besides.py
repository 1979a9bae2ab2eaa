"""What a norm's class does in its own forward, without a module for it, is kept where it looks at single elements."""

from __future__ import annotations

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transform_networks import chain, conv, image, lambda_of

from normfix.transforms.fold import fold


def _subclass(name, work):
    def forward(self, input):
        return work(self, nn.BatchNorm2d.forward(self, input))

    return type(name, (nn.BatchNorm2d,), {"forward": forward, "slope": 0.3})


WORK = {
    "relu": lambda m, y: F.relu(y),
    "relu-in-place": lambda m, y: F.relu(y, inplace=True),
    "clamp": lambda m, y: y.clamp(-0.5, 0.5),
    "slope-of-its-own-attribute": lambda m, y: F.leaky_relu(y, m.slope),
    "silu-then-number": lambda m, y: F.silu(y) * 2 + 1,
    "used-twice": lambda m, y: y * torch.sigmoid(y),
    "dropout-in-eval-then-gelu": lambda m, y: F.gelu(F.dropout(y, 0.5, m.training)),
}


@pytest.mark.parametrize("name", WORK)
def test_it_is_kept(name):
    model = chain(conv(), _subclass("Own", WORK[name])(4), conv()).double()
    expected = copy.deepcopy(model)(image())
    done = fold(model, image(), prove="formula")
    assert done.refused == [] and len(done.applied) == 1
    torch.testing.assert_close(done.model(image()), expected, rtol=0, atol=1e-12)
    other = image(size=9, batch=1)
    torch.testing.assert_close(done.model(other), model(other), rtol=0, atol=1e-12)


def test_a_limit_that_the_trials_do_not_reach_is_kept():
    model = chain(conv(), _subclass("Own", lambda m, y: y.clamp(-200, 200))(4)).double()
    done = fold(model, image(), prove="formula")
    assert len(done.applied) == 1 and model(image() * 1e4).abs().max() == 200
    torch.testing.assert_close(done.model(image() * 1e4), model(image() * 1e4), rtol=0, atol=1e-9)


def test_a_norm_that_does_more_to_large_images_stays():
    own = _subclass("Own", lambda m, y: y.relu() if y.shape[-1] > 8 else y)(4)
    done = fold(chain(conv(), own).double(), image(size=12), prove="formula")
    assert done.applied == [] and "does more than normalise" in done.refused[0].reason


def test_it_is_kept_at_every_call():
    own = _subclass("Own", WORK["relu"])(4)
    model = lambda_of(lambda m, x: m.n(m.a(x)) - m.n(m.b(x)), a=conv(), b=conv(), n=own).double()
    done = fold(model, image(), prove="formula")
    torch.testing.assert_close(done.model(image()), model(image()), rtol=0, atol=1e-12)


def test_what_is_folded_forward_keeps_it_from_being_passed():
    model = chain(nn.ReLU(), _subclass("Own", WORK["relu"])(4), conv()).double()
    done = fold(model, image(), prove="none")
    assert done.applied == [] and "stands between" in done.refused[0].reason


def test_the_folded_model_can_be_copied_saved_and_exported():
    model = chain(conv(), _subclass("Own", WORK["silu-then-number"])(4))
    done = fold(model, image().float())
    assert done.proof.holds and done.proof.deployed is not None
    torch.save(copy.deepcopy(done.model), saved := io.BytesIO())
    saved.seek(0)
    loaded = torch.load(saved, weights_only=False)
    assert torch.equal(loaded(image().float()), done.model(image().float()))
    assert "was Own(4" in repr(done.model)


def test_a_norm_under_no_grad_is_seen():
    def forward(m, x):
        y = m.c(x)
        with torch.no_grad():
            y = m.bn(y)
        return y.relu()

    model = lambda_of(forward, c=conv(), bn=nn.BatchNorm2d(4)).double()
    for output in ("module", "program"):
        done = fold(model, image(), output=output, prove="formula")
        assert done.refused == [] and len(done.applied) == 1
        new = done.model if output == "module" else done.model.module()
        torch.testing.assert_close(new(image()), model(image()), rtol=0, atol=1e-12)


def test_a_block_under_no_grad_with_several_results():
    def forward(m, x):
        with torch.no_grad():
            y = m.bn(m.c(x))
            with torch.enable_grad():
                z = m.other(y)
        return y.relu() + z

    model = lambda_of(forward, c=conv(padding=1), bn=nn.BatchNorm2d(4), other=conv(padding=1)).double()
    done = fold(model, image(), prove="formula")
    assert [change.where for change in done.applied] == ["bn"]
    torch.testing.assert_close(done.model(image()), model(image()), rtol=0, atol=1e-12)
