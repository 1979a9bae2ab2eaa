"""A capture runs the caller's forward; afterwards nothing of the model or of the process may have moved."""

import random
import sys

import numpy
import pytest
import torch
from torch import nn

from normfix.readers.model import capture


class Busy(nn.Module):
    """Writes to its attributes, its buffers, its lists and its modes while it runs, and draws random numbers."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4, momentum=None)
        self.seen = []
        self.feature = None
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x):
        self.steps.add_(1)
        self.feature = self.bn(self.conv(x))
        self.seen.append(random.random() + numpy.random.rand())
        self.fresh = torch.rand(1)
        self.conv.requires_grad_(False)
        self.bn.eval()
        torch.manual_seed(7)
        return self.feature


def settled(model):
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(4, 3, 8, 8) * 3 + 1)
    vars(model).pop("fresh", None)
    return model


def state_of(model):
    return {
        "tensors": {name: tensor.detach().clone() for name, tensor in model.state_dict().items()},
        "identities": {name: id(tensor) for name, tensor in model.state_dict(keep_vars=True).items()},
        "versions": {name: tensor._version for name, tensor in model.state_dict(keep_vars=True).items()},
        "modes": [module.training for module in model.modules()],
        "required": [parameter.requires_grad for parameter in model.parameters()],
        "gradients": [parameter.grad for parameter in model.parameters()],
        "hooks": [dict(module._forward_hooks) for module in model.modules()],
        "attributes": [sorted(vars(module)) for module in model.modules()],
    }


def process():
    return (
        torch.get_rng_state().tolist(),
        random.getstate(),
        numpy.random.get_state()[1].tolist(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.is_inference_mode_enabled(),
    )


WAYS = [
    pytest.param((torch.randn(2, 3, 8, 8),), id="through-export"),
    pytest.param((), id="through-fx"),
]


@pytest.mark.parametrize("inputs", WAYS)
@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_a_model_that_moves_everything_comes_back_as_it_was(inputs, training):
    model = settled(Busy()).train(training)
    model.conv.bias.requires_grad_(False)
    model.bn.register_forward_hook(lambda module, arguments, output: None)
    before, around = state_of(model), process()
    seen, feature, steps = list(model.seen), model.feature, model.steps
    capture(model, *inputs)
    after = state_of(model)
    assert all(torch.equal(before["tensors"].pop(name), tensor) for name, tensor in after.pop("tensors").items())
    if inputs:
        assert before["versions"] == after["versions"]
    del before["tensors"], before["versions"], after["versions"]
    assert before == after
    assert process() == around
    assert model.seen == seen
    assert model.feature is feature
    assert model.steps is steps
    assert not hasattr(model, "fresh")


@pytest.mark.parametrize("made_there", ["model", "inputs", "both"])
def test_tensors_of_inference_mode_can_be_captured(made_there):
    made = {}
    for name, make in {"model": lambda: nn.Conv2d(3, 4, 3), "inputs": lambda: torch.randn(2, 3, 8, 8)}.items():
        with torch.inference_mode(made_there in (name, "both")):
            made[name] = make()
    found = capture(made["model"], made["inputs"])
    assert found.reason == "" and [call.kind for call in found.graph.calls] == ["input", "Conv2d"]
    assert made["model"].weight.is_inference() == (made_there != "inputs") and made["model"].weight.requires_grad


def test_running_statistics_do_not_move_in_train_mode():
    model = settled(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))).train()
    mean, count = model[1].running_mean.clone(), model[1].num_batches_tracked.clone()
    capture(model, torch.randn(2, 3, 8, 8) * 9)
    assert torch.equal(model[1].running_mean, mean)
    assert torch.equal(model[1].num_batches_tracked, count)


def test_the_momentum_that_a_trace_cannot_read_is_put_back():
    model = nn.BatchNorm2d(3, momentum=None)
    found = capture(model, torch.randn(2, 3, 4, 4))
    assert model.momentum is None
    assert found.program is not None
    assert found.graph.layers[0].value("momentum") is None


def test_a_failing_forward_leaves_the_model_too():
    class Failing(Busy):
        def forward(self, x):
            super().forward(x)
            raise ValueError("on purpose")

    model = settled(Busy())
    model.__class__ = Failing
    x = torch.randn(2, 3, 8, 8)
    before, around = state_of(model), process()
    found = capture(model, x)
    assert "on purpose" in found.reason
    after = state_of(model)
    assert all(torch.equal(tensor, after["tensors"][name]) for name, tensor in before["tensors"].items())
    assert before["modes"] == after["modes"]
    assert process() == around


def test_a_dictionary_whose_tensors_the_forward_replaces_gets_the_old_ones_back():
    class Cached(nn.Module):
        def __init__(self):
            super().__init__()
            self.cache = {"last": torch.zeros(3)}

        def forward(self, x):
            self.cache["last"] = x * 2
            return x + 1

    model = Cached()
    last = model.cache["last"]
    capture(model, torch.randn(3))
    assert model.cache.keys() == {"last"} and model.cache["last"] is last


def test_a_recurrent_layer_still_runs_after_a_capture():
    model = nn.LSTM(4, 3, batch_first=True)
    x = torch.randn(2, 5, 4)
    before = model(x)[0]
    capture(model, x)
    assert torch.equal(model(x)[0], before)


def test_no_grad_of_the_caller_is_kept():
    with torch.no_grad():
        capture(Busy(), torch.randn(2, 3, 8, 8))
        assert not torch.is_grad_enabled()


def test_what_the_forward_prints_stays_off_stdout(capfd):
    class Loud(nn.Module):
        def forward(self, x):
            sys.stdout.write("hello")
            return x + 1

    capture(Loud(), torch.randn(2))
    assert capfd.readouterr().out == ""


@pytest.mark.gpu
def test_the_random_numbers_of_the_device_do_not_move():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.BatchNorm2d(4)).cuda()
    before = torch.cuda.get_rng_state()
    capture(model, torch.randn(2, 3, 8, 8, device="cuda"))
    assert torch.equal(torch.cuda.get_rng_state(), before)
