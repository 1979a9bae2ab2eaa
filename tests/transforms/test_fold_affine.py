"""affine: weight and bias of a layer norm go into the linear layers behind, or stay with the reason."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transform_networks import chain, conv, image, lambda_of, rows

from normfix.cli import main
from normfix.transforms.fold import fold


def _varied(norm, seed=3):
    generator = torch.Generator().manual_seed(seed)
    for parameter in norm.parameters(recurse=False):
        nn.init.normal_(parameter, generator=generator)
    return norm


def _sequence():
    return rows(4, 6).reshape(2, 3, 4)


class RootMeanSquare(nn.Module):
    """As language models write it: computed in float32, always times weight."""

    def __init__(self, size, add=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.add = add

    def forward(self, x):
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
        return (self.weight + self.add) * wide.to(x.dtype)


class LlamaRMSNorm(RootMeanSquare):
    pass


class GemmaRMSNorm(RootMeanSquare):
    def __init__(self, size):
        super().__init__(size, add=1.0)


class Recast(RootMeanSquare):
    """Casts to the dtype that it has already, which gives the same tensor."""

    def forward(self, x):
        same = x.to(self.weight.dtype)
        return self.weight * (same * torch.rsqrt(same.pow(2).mean(-1, keepdim=True) + 1e-6))


class RecastRMSNorm(Recast):
    pass


class SquaredRMSNorm(LlamaRMSNorm):
    """Looks alike, and multiplies by the square of its weight."""

    def forward(self, x):
        return super().forward(x) * self.weight


class LayerNorm2d(nn.LayerNorm):
    """Over the channels of an image."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _hooked():
    norm = _varied(nn.LayerNorm(4))
    norm.register_forward_hook(lambda *_: None)
    return chain(norm, nn.Linear(4, 3))


def _tied():
    model = lambda_of(lambda m, x: m.fc(m.a(x)) + m.other(m.b(x)), a=_varied(nn.LayerNorm(4)), fc=nn.Linear(4, 3),
                      b=_varied(nn.LayerNorm(4)), other=nn.Linear(4, 3))  # fmt: skip
    model.b.weight = model.a.weight
    return model


def _tied_linear():
    model = lambda_of(lambda m, x: m.head(m.norm(m.embed(x))), embed=nn.Linear(4, 4, bias=False),
                      norm=_varied(nn.LayerNorm(4)), head=nn.Linear(4, 4, bias=False))  # fmt: skip
    model.head.weight = model.embed.weight
    return model


STAYS = {
    "read-by-an-activation": (chain(_varied(nn.LayerNorm(4)), nn.ReLU(), nn.Linear(4, 3)), "stands between"),
    "one-reader-is-a-residual": (
        lambda_of(lambda m, x: (lambda y: m.fc(y) + y)(m.n(x)), n=_varied(nn.LayerNorm(4)), fc=nn.Linear(4, 4)),
        "adds another tensor"),
    "is-an-output": (chain(nn.Linear(4, 4), _varied(nn.LayerNorm(4))), "output of the model"),
    "linear-over-another-axis": (
        lambda_of(lambda m, x: m.fc(m.n(x).transpose(1, 2)), n=_varied(nn.LayerNorm(4)), fc=nn.Linear(3, 3)),
        "another axis"),
    "linear-also-reads-another-tensor": (
        lambda_of(lambda m, x: m.fc(m.n(x)) + m.fc(x), n=_varied(nn.LayerNorm(4)), fc=nn.Linear(4, 3)),
        "called elsewhere"),
    "functional-linear": (
        lambda_of(lambda m, x: F.linear(m.n(x), m.fc.weight), n=_varied(nn.LayerNorm(4)), fc=nn.Linear(4, 3)),
        "functional call"),
    "changed-in-place-afterwards": (
        lambda_of(lambda m, x: (lambda y: m.fc(y) + y.mul_(2).sum())(m.n(x)), n=_varied(nn.LayerNorm(4)),
                  fc=nn.Linear(4, 3)), "in place"),
    "hook-on-the-norm": (_hooked(), "has hooks"),
    "weight-tied-to-another-norm": (_tied(), "read"),
    "linear-tied-to-an-embedding": (_tied_linear(), "read"),
    "weight-in-a-loss-term": (
        lambda_of(lambda m, x: (m.fc(m.n(x)), m.n.weight.abs().sum()), n=_varied(nn.LayerNorm(4)),
                  fc=nn.Linear(4, 3)), "read"),
    "weight-that-is-squared": (
        chain(_varied(SquaredRMSNorm(4)), nn.Linear(4, 3)), "more than multiply"),
    "never-called": (lambda_of(lambda m, x: m.fc(x), n=_varied(nn.LayerNorm(4)), fc=nn.Linear(4, 3)), "not called"),
    "conv-with-zero-padding": (
        lambda_of(lambda m, x: m.c(m.n(x.unsqueeze(-1))), n=_varied(LayerNorm2d(3)), c=conv(3, 4, 3, padding=1)),
        "pads with zeros"),
}  # fmt: skip


@pytest.mark.parametrize("name", STAYS)
def test_the_weight_stays(name):
    model, reason = copy.deepcopy(STAYS[name])
    model = model.double()
    done = fold(model, _sequence(), affine=True, prove="formula")
    assert done.applied == []
    assert all(reason in refusal.reason for refusal in done.refused) and done.refused, done.refused
    assert torch.equal(torch.as_tensor(_first(done.model(_sequence()))), _first(model(_sequence())))


def _first(output):
    return output[0] if isinstance(output, tuple) else output


def _goes():
    norm, linear = _varied(nn.LayerNorm(4)), nn.Linear(4, 3)
    yield "layer-norm", chain(norm, linear), _sequence()
    yield "linear-without-bias-gets-one", chain(_varied(nn.LayerNorm(4)), nn.Linear(4, 3, bias=False)), _sequence()
    yield "layer-norm-without-bias", chain(_varied(nn.LayerNorm(4, bias=False)), nn.Linear(4, 3)), _sequence()
    yield "rms-norm", chain(_varied(nn.RMSNorm(4)), nn.Linear(4, 3, bias=False)), _sequence()
    yield "weight-of-one-everywhere-is-none", chain(nn.LayerNorm(4), nn.Linear(4, 3)), _sequence()
    yield (
        "query-key-and-value",
        lambda_of(
            lambda m, x: (lambda y: m.q(y) * m.k(y) + m.v(y))(m.n(x)),
            n=_varied(nn.LayerNorm(4)),
            **{name: nn.Linear(4, 4) for name in "qkv"},
        ),
        _sequence(),
    )
    yield (
        "one-norm-called-twice",
        lambda_of(lambda m, x: m.b(m.n(m.a(m.n(x)))), n=_varied(nn.LayerNorm(4)), a=nn.Linear(4, 4), b=nn.Linear(4, 4)),
        _sequence(),
    )
    yield "dropout-in-eval-between", chain(_varied(nn.LayerNorm(4)), nn.Dropout(), nn.Linear(4, 3)), _sequence()
    yield (
        "several-axes-then-flatten",
        chain(_varied(nn.LayerNorm((4, 6, 6))), nn.Flatten(), nn.Linear(4 * 36, 3)),
        image(),
    )
    yield "always-times-weight-set-to-one", chain(_varied(LlamaRMSNorm(4)), nn.Linear(4, 3)), _sequence()
    yield (
        "cast-to-its-own-dtype-beside-a-residual",
        lambda_of(lambda m, x: x + m.fc(m.n(x)), n=_varied(RecastRMSNorm(4)), fc=nn.Linear(4, 4)),
        _sequence(),
    )
    yield "one-plus-weight-set-to-zero", chain(_varied(GemmaRMSNorm(4)), nn.Linear(4, 3)), _sequence()
    yield "over-the-channels-of-an-image", chain(_varied(LayerNorm2d(4)), conv(4, 3, 1)), image()


@pytest.mark.parametrize(("model", "inputs"), [pytest.param(m, x, id=i) for i, m, x in _goes()])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_weight_and_bias_go(model, inputs, training):
    model = copy.deepcopy(model).double()
    done = fold(model, inputs, affine=True, prove="formula")
    assert done.refused == [] and len(done.applied) == 1 and done.proof.formula <= 1e-10
    if training and any(isinstance(module, nn.Dropout) for module in model.modules()):
        return
    expected = copy.deepcopy(model).train(training)(inputs)
    found = done.model.train(training)(inputs)
    # The norm that casts to float32 rounds there, before and after.
    exact = 1e-6 if any(isinstance(module, RootMeanSquare) for module in model.modules()) else 1e-12
    torch.testing.assert_close(found, expected, rtol=0, atol=exact)
    assert fold(model, inputs, prove="none").applied == []  # not without being asked


def test_the_norm_keeps_a_weight_and_a_bias_that_do_nothing():
    model = chain(_varied(nn.LayerNorm(4)), nn.Linear(4, 3), nn.ReLU(), _varied(nn.RMSNorm(3)), nn.Linear(3, 3))
    done = fold(model, _sequence().float(), affine=True)
    norm, other = done.model[0], done.model[3]
    assert type(norm) is nn.LayerNorm and torch.equal(norm.weight, torch.ones(4)) and not norm.bias.any()
    assert type(other) is nn.RMSNorm and torch.equal(other.weight, torch.ones(3))
    assert set(done.model.state_dict()) == set(model.state_dict())
    assert done.proof.holds and done.proof.deployed is not None
    assert done.applied[0].what == "weight and bias folded forward into `1`"


def test_those_that_need_a_weight_get_a_neutral_one():
    model = chain(_varied(LlamaRMSNorm(4)), nn.Linear(4, 3), _varied(GemmaRMSNorm(3)), nn.Linear(3, 3))
    new = fold(model, _sequence().float(), affine=True, prove="formula").model
    assert torch.equal(new[0].weight, torch.ones(4)) and torch.equal(new[2].weight, torch.zeros(3))


def test_batch_norms_go_first_and_the_rest_follows():
    model = chain(nn.Linear(4, 4), nn.BatchNorm1d(4), _varied(nn.LayerNorm(4)), nn.Linear(4, 3)).double()
    done = fold(model, rows(), affine=True, prove="formula")
    assert {change.where for change in done.applied} == {"1", "2"} and done.refused == []
    torch.testing.assert_close(done.model(rows()), model(rows()), rtol=0, atol=1e-12)


def test_an_old_checkpoint_moves():
    model = chain(_varied(nn.LayerNorm(4)), nn.Linear(4, 3)).double()
    other = copy.deepcopy(model)
    _varied(other[0], seed=9)
    done = fold(model, _sequence(), affine=True, prove="none")
    done.model.load_state_dict(done.migrate(other.state_dict()), strict=True)
    torch.testing.assert_close(done.model(_sequence()), other(_sequence()), rtol=0, atol=1e-12)


def test_in_the_exported_program_too():
    model = chain(_varied(nn.LayerNorm(4)), nn.Linear(4, 3), _varied(nn.RMSNorm(3)), nn.Linear(3, 3)).double()
    done = fold(model, _sequence(), affine=True, output="program", prove="formula")
    assert len(done.applied) == 2 and done.refused == []
    torch.testing.assert_close(done.model.module()(_sequence()), model(_sequence()), rtol=0, atol=1e-12)


def test_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(
        "import torch\nfrom torch import nn\n\n"
        "def build():\n    return nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 3))\n"
    )
    assert main(["fold", "net.py:build", "--input", "2x4", "--affine", "--prove", "formula"]) == 0
    assert "weight and bias folded forward into `1`" in capsys.readouterr().out
    assert main(["fold", "net.py:build", "--input", "2x4", "--prove", "formula"]) == 0
    assert "0 applied" in capsys.readouterr().out


class DtypeOfWeight(nn.Module):
    """As T5 writes it: casts to the dtype of the norm's weight."""

    def __init__(self):
        super().__init__()
        self.norm, self.linear = _varied(nn.LayerNorm(4)), nn.Linear(4, 3)

    def forward(self, x):
        return self.linear(self.norm(x.to(self.norm.weight.dtype)))


def test_a_weight_whose_dtype_is_asked_for():
    done = fold(DtypeOfWeight(), _sequence().float(), affine=True, prove="formula")
    assert done.refused == [] and len(done.applied) == 1 and done.proof.holds


@pytest.mark.parametrize("first", [True, False], ids=["norms-first", "norms-last"])
def test_a_layer_that_reads_its_norms_in_a_fast_path(first):
    layer = nn.TransformerEncoderLayer(8, 2, 16, norm_first=first, batch_first=True).eval()
    for norm in (layer.norm1, layer.norm2):
        _varied(norm)
    inputs = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(1))
    done = fold(layer, inputs, affine=True)
    assert [change.where for change in done.applied] == (["norm2"] if first else [])
    assert [refusal.where for refusal in done.refused] == (["norm1"] if first else ["norm1", "norm2"])
    assert all("stays, since" in refusal.reason for refusal in done.refused)
    with torch.no_grad():
        torch.testing.assert_close(done.model(inputs), layer(inputs), rtol=0, atol=1e-5)
