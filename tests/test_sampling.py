"""Samples of what layers compute: the models stay as they were."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from normfix.checking.sampling import outputs


def net() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))


def test_models_without_inputs_give_no_samples() -> None:
    assert outputs(net(), net(), (), ["1"]) == []


def test_what_is_no_module_gives_no_samples() -> None:
    assert outputs(net(), object(), (torch.ones(1, 3, 4, 4),), []) == []


def test_layers_that_one_side_lacks_are_left_out() -> None:
    x = torch.randn(2, 3, 8, 8)
    found = outputs(net(), net()[:1], (x,), ["0", "1", "2"])
    assert [one.name for one in found] == ["output", "0"]


def test_samples_are_those_of_eval_mode_and_nothing_else_changes() -> None:
    model, x = net().train(), torch.randn(2, 3, 8, 8)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.random.get_rng_state()
    found = outputs(model, model, (x,), ["1"])
    assert found[0].before == found[0].after == found[1].before
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(random, torch.random.get_rng_state())
    assert model.training
    assert not model[1]._forward_hooks
    expected = model.eval()(x).flatten().tolist()
    assert found[0].before == pytest.approx(expected)


def test_large_outputs_are_thinned() -> None:
    found = outputs(nn.Identity(), nn.Identity(), (torch.randn(64, 1024),), [])
    assert 4096 <= len(found[0].before) < 8192
