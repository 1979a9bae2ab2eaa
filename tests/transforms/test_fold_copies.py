"""The caller's model stays as it was, and what comes back is a model like it."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn
from transform_networks import chain, conv, image, lambda_of, randomise

from normfix.errors import UsageError
from normfix.rewrites import ProofFailed
from normfix.transforms import folding
from normfix.transforms.base import SetTensor
from normfix.transforms.fold import fold

BN = nn.BatchNorm2d


def test_weights_buffers_modes_gradients_hooks_and_random_state_stay():
    model = chain(conv(), BN(4), nn.Dropout(), nn.ReLU())
    model[0].weight.requires_grad_(False)
    seen = []
    handle = model[3].register_forward_hook(lambda *_: seen.append(1))
    state = copy.deepcopy(model.state_dict())
    parameters = [id(parameter) for parameter in model.parameters()]
    modes = [module.training for module in model.modules()]
    random = torch.get_rng_state()
    done = fold(model, image().float())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())
    assert [id(parameter) for parameter in model.parameters()] == parameters
    assert [module.training for module in model.modules()] == modes
    assert not model[0].weight.requires_grad and handle.id in model[3]._forward_hooks
    assert done.model is not model and not done.model[0].weight.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())


def test_class_names_and_untouched_keys_survive():
    model = lambda_of(lambda m, x: m.head(m.bn(m.c(x)).relu()), c=conv(bias=False), bn=BN(4), head=conv())
    done = fold(model, image().float(), prove="none")
    assert type(done.model) is type(model)
    assert set(done.model.state_dict()) == {"c.weight", "c.bias", "head.weight", "head.bias"}
    assert torch.equal(done.model.head.weight, model.head.weight)
    assert isinstance(done.model.bn, nn.Identity)


def test_folded_model_says_what_was_lost_when_it_is_trained():
    done = fold(chain(conv(), BN(4)), image().float(), prove="none")
    with pytest.warns(UserWarning, match="folded away"):
        done.model.train()


def test_untrained_statistics_are_folded_and_named():
    done = fold(nn.Sequential(conv(), BN(4)).eval(), image().float(), prove="formula")
    assert "statistics are those of a new layer" in done.applied[0].what


def test_channels_last_is_kept():
    model = chain(conv(), BN(4)).to(memory_format=torch.channels_last)
    done = fold(model, image().float(), prove="none")
    assert done.model[0].weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_models_are_computed_in_float64_and_cast_once(dtype):
    model = chain(conv(), BN(4)).to(dtype)
    wide = copy.deepcopy(model).double()
    done = fold(model, image().to(dtype))
    exact = fold(wide, image(), prove="none").model
    assert done.model[0].weight.dtype == dtype
    assert torch.equal(done.model[0].weight, exact[0].weight.to(dtype))
    assert done.proof.holds and done.proof.formula <= 1e-10


def test_half_conv_with_a_float32_norm():
    model = chain(conv(bias=False).bfloat16(), BN(4))
    done = fold(model, image().bfloat16(), prove="formula")
    assert len(done.applied) == 1
    assert done.model[0].bias.dtype == torch.bfloat16


def test_dict_tuple_nested_and_keyword_inputs_and_outputs():
    def forward(m, batch, scale=None):
        first, (second,) = batch["a"], batch["b"]
        return {"sum": m.bn(m.c(first)) * scale, "pair": (m.bn2(m.c2(second)), [second])}

    model = lambda_of(forward, c=conv(), bn=BN(4), c2=conv(), bn2=BN(4))
    x = image().float()
    done = fold(model, ({"a": x, "b": (x + 1,)},), {"scale": torch.tensor(2.0)}, prove="formula")
    assert len(done.applied) == 2 and done.proof.formula <= 1e-10


def test_integer_inputs():
    model = randomise(nn.Sequential(nn.Embedding(11, 4), nn.Flatten(0, 1), nn.Linear(4, 5), nn.BatchNorm1d(5)))
    done = fold(model, torch.randint(0, 11, (2, 6)))
    assert len(done.applied) == 1 and done.proof.holds and done.proof.deployed is not None


def test_migrate_gives_the_same_model_for_another_checkpoint():
    model = chain(conv(bias=False), BN(4), nn.ReLU(), BN(4), conv())
    other = randomise(copy.deepcopy(model), seed=3).double()
    done = fold(model, image().float(), prove="none")
    new = copy.deepcopy(done.model).double()
    new.load_state_dict(done.migrate(other.state_dict()))
    torch.testing.assert_close(new(image()), other(image()), rtol=0, atol=1e-5)
    wide = fold(copy.deepcopy(model).double(), image(), prove="none")
    wide.model.load_state_dict(wide.migrate(other.state_dict()))
    torch.testing.assert_close(wide.model(image()), other(image()), rtol=0, atol=1e-10)


def test_a_checkpoint_that_asks_for_another_rewrite_is_refused():
    model = chain(conv(), nn.MaxPool2d(2), BN(4))
    with torch.no_grad():
        model[2].weight.abs_().add_(0.1)
    other = copy.deepcopy(model.state_dict())
    other["2.weight"].neg_()
    done = fold(model, image().float(), prove="none")
    assert len(done.applied) == 1
    with pytest.raises(UsageError, match=r"another one: `2` goes neither back, .* a scale is not positive"):
        done.migrate(other)


def test_a_wrong_plan_raises_and_returns_nothing(monkeypatch):
    plan = folding.plan

    def wrong(flow, state, **options):
        made = plan(flow, state, **options)
        made.edits = [
            SetTensor(edit.name, edit.value * 1.0001, edit.like) if isinstance(edit, SetTensor) else edit
            for edit in made.edits
        ]
        return made

    monkeypatch.setattr(folding, "plan", wrong)
    with pytest.raises(ProofFailed, match="the rewrite is wrong") as failed:
        fold(chain(conv(), BN(4)), image().float(), prove="formula")
    assert failed.value.proof.formula > 1e-10


def test_a_norm_that_a_forward_reads_by_attribute_fails_the_proof_not_the_user():
    model = lambda_of(lambda m, x: m.bn(m.c(x)) * m.bn.eps, c=conv(), bn=BN(4))
    with pytest.raises(ProofFailed, match="does not run"):
        fold(model, image().float(), prove="formula")


def test_the_account_is_plain_json():
    done = fold(chain(conv(), BN(4)), image().float(), prove="formula")
    plain = json.loads(json.dumps(done.as_dict()))
    assert plain["applied"] == [{"where": "1", "what": "folded into `0`"}]
    assert plain["refused"] == [] and plain["proof"]["holds"] is True
    assert "folded into `0`" in str(done) and "proven" in str(done)


def test_unknown_prove_level_is_an_error():
    with pytest.raises(ValueError, match="expected one of"):
        fold(chain(conv(), BN(4)), image().float(), prove="twice")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: the folded weights stay on it")
def test_weights_stay_on_their_device():
    model = chain(conv(bias=False), BN(4)).cuda()
    done = fold(model, image().float().cuda(), prove="formula")
    assert done.model[0].weight.is_cuda and done.model[0].bias.is_cuda and done.proof.holds
