"""What fold must leave alone, each with the reason that it gives. The output never changes, whatever it decides."""

from __future__ import annotations

import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm
from transform_networks import chain, conv, image, lambda_of, randomise, rows

from normfix.errors import UsageError
from normfix.proof.copying import copied
from normfix.transforms.fold import fold

BN = nn.BatchNorm2d


class Standardised(nn.Conv2d):
    """Weight standardisation: the stored weight is not the one that is used."""

    def forward(self, input):
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(input, self.weight - mean, self.bias, self.stride, self.padding)


class DeafToBias(nn.Conv2d):
    """Passes no bias on, so that one that is given to it changes nothing."""

    def forward(self, input):
        return F.conv2d(input, self.weight, None, self.stride, self.padding)


class Residual(nn.BatchNorm2d):
    """Adds what it reads to what it gives."""

    def forward(self, input):
        return super().forward(input) + input


class Gated(nn.BatchNorm2d):
    """Multiplies by a parameter of its own."""

    def __init__(self, channels):
        super().__init__(channels)
        self.gate = nn.Parameter(torch.tensor(0.7))

    def forward(self, input):
        return super().forward(input) * self.gate


class Flipped(nn.BatchNorm2d):
    """Moves elements about."""

    def forward(self, input):
        return super().forward(input).flip(-1)


class Absolute(nn.BatchNorm2d):
    """Does something before it normalises."""

    def forward(self, input):
        return super().forward(input.abs())


class PartlyActivated(nn.BatchNorm2d):
    """Has an activation of its own, and does more without a module."""

    def __init__(self, channels):
        super().__init__(channels)
        self.act = nn.ReLU()

    def forward(self, input):
        return self.act(super().forward(input)) * 2


class Functional(nn.Module):
    """F.conv2d and F.batch_norm on tensors that the module holds itself."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4, 3, 3))
        self.register_buffer("running_mean", torch.randn(4))
        self.register_buffer("running_var", torch.rand(4) + 0.5)

    def forward(self, x):
        y = F.conv2d(x, self.weight)
        return F.batch_norm(y, self.running_mean, self.running_var).relu()


def _tied():
    model = lambda_of(lambda m, x: m.bn(m.a(x)) + m.b(x), a=conv(bias=False), b=conv(bias=False), bn=BN(4))
    model.b.weight = model.a.weight
    return model


def _hooked(index):
    model = chain(conv(), BN(4))
    model[index].register_forward_hook(lambda module, args, output: None)
    return model


def _hooked_before(index):
    model = chain(conv(), BN(4))
    model[index].register_forward_pre_hook(lambda module, args: None)
    return model


def _hooked_backward():
    model = chain(conv(), BN(4))
    model[1].register_full_backward_hook(lambda *_: None)
    return model


def _hooked_keys():
    model = chain(conv(), BN(4))
    model[1].register_state_dict_post_hook(lambda *_: None)
    return model


def _parametrized_norm():
    model = chain(conv(), BN(4))
    parametrize.register_parametrization(model[1], "weight", nn.Softplus())
    return model


def _spoiled(name, value):
    model = chain(conv(), BN(4))
    getattr(model[1], name)[1] = value
    return model


def _in_train_mode():
    model = chain(conv(), BN(4), nn.ReLU())
    model[1].train()
    return model


def _under_autocast():
    def forward(m, x):
        y = m.c(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return m.bn(y)

    return lambda_of(forward, c=conv(), bn=BN(4))


def _plain_list():
    model = lambda_of(lambda m, x: m.stages[1](m.stages[0](x)), c=conv(), bn=BN(4))
    model.stages = [model.c, model.bn]
    return model


def _pruned():
    model = chain(conv(), BN(4))
    prune.l1_unstructured(model[0], "weight", 0.3)
    return model


CASES = {
    "conv-called-twice-norm-on-one-path": (
        lambda_of(lambda m, x: m.bn(m.c(x)) + m.c(x.relu()), c=conv(), bn=BN(4)), image(), "called elsewhere"),
    "conv-called-twice-two-norms": (
        lambda_of(lambda m, x: m.p(m.c(x)) + m.q(m.c(x.relu())), c=conv(), p=BN(4), q=BN(4)), image(),
        "called elsewhere"),
    "norm-without-parameters-called-twice-norm-on-one-path": (
        lambda_of(lambda m, x: m.b(m.a(x)) + m.a(x.relu()), a=nn.InstanceNorm2d(4, track_running_stats=True),
        b=nn.BatchNorm2d(4, affine=False)), image(), "goes neither back"),
    "norm-also-on-a-raw-tensor": (
        lambda_of(lambda m, x: m.bn(m.c(x)) + m.bn(x[:, :, 1:-1, 1:-1]), c=conv(), bn=BN(4)), image(), "input"),
    "conv-output-has-another-reader": (
        lambda_of(lambda m, x: (lambda y: m.bn(y) + y)(m.c(x)), c=conv(), bn=BN(4)), image(),
        "the output of `c` is read 2 times, by `bn` and `add`"),
    "conv-output-is-an-output": (
        lambda_of(lambda m, x: (lambda y: (m.bn(y), y))(m.c(x)), c=conv(), bn=BN(4)), image(),
        "the output of `c` is read 2 times, by `bn` and the output of the model"),
    "input-has-another-reader": (
        lambda_of(lambda m, x: m.c(m.bn(x)).relu() + m.d(x), c=conv(padding=1), d=conv(padding=1), bn=BN(4)), image(),
        "it reads the input `inputs_0`"),
    "input-in-a-cat-and-elsewhere": (
        lambda_of(lambda m, x: m.bn(torch.cat([m.c(x), x], 1)), c=conv(padding=1), bn=BN(8)), image(),
        "it reads the input `inputs_0`"),
    "parameter-tied-in-two-modules": (_tied(), image(), "also read by"),
    "activation-between": (chain(conv(), nn.ReLU(), BN(4)), image(), "`1` stands between"),
    "weight-read-outside-the-module": (
        lambda_of(lambda m, x: m.bn(m.c(x)) + F.conv2d(x, m.c.weight), c=conv(bias=False), bn=BN(4)), image(),
        "also read"),
    "weight-in-a-loss-term": (
        lambda_of(lambda m, x: (m.bn(m.c(x)), m.c.weight.square().sum()), c=conv(), bn=BN(4)), image(), "also read"),
    "gamma-in-a-loss-term": (
        lambda_of(lambda m, x: (m.bn(m.c(x)), m.bn.weight.abs().sum()), c=conv(), bn=BN(4)), image(), "also read"),
    "linear-on-3d-normalises-the-wrong-axis": (
        chain(nn.Linear(5, 4), nn.BatchNorm1d(6)), rows(5, 12).reshape(2, 6, 5), "another axis"),
    "linear-on-3d-with-equal-sizes": (
        chain(nn.Linear(4, 4), nn.BatchNorm1d(4)), rows(4, 8).reshape(2, 4, 4), "another axis"),
    "conv-permute-norm-over-another-axis": (
        lambda_of(lambda m, x: m.bn(m.c(x).permute(0, 2, 1, 3)), c=conv(), bn=BN(4)), image(), "another axis"),
    "flatten-gives-each-pixel-its-own-scale": (
        chain(conv(), nn.Flatten(), nn.BatchNorm1d(64)), image(), "another axis"),
    "forward-zero-padding": (chain(BN(4), conv(padding=1)), image(), "pads with zeros"),
    "forward-padding-same-string": (chain(BN(4), conv(padding="same")), image(), "pads with zeros"),
    "forward-transposed-conv-never": (chain(BN(4), nn.ConvTranspose2d(4, 4, 3)), image(), "`1` stands between"),
    "forward-linear-on-3d": (
        chain(nn.BatchNorm1d(6), nn.Linear(5, 4)), rows(5, 12).reshape(2, 6, 5), "another axis"),
    "forward-reader-and-output": (
        lambda_of(lambda m, x: (lambda y: (m.c(y), y))(m.bn(x)), c=conv(), bn=BN(4)), image(), "output of the model"),
    "forward-two-ways-into-one-layer": (
        lambda_of(lambda m, x: (lambda y: m.c(torch.cat([y, y[:, :, :, :]], 1)))(m.bn(x)), c=conv(8, 3), bn=BN(4)),
        image(), "two ways"),
    "forward-conv-also-called-elsewhere": (
        lambda_of(lambda m, x: m.c(m.bn(x)) + m.c(x), c=conv(), bn=BN(4)), image(), "called elsewhere"),
    "forward-input-changed-in-place-afterwards": (
        lambda_of(lambda m, x: (lambda z: (lambda y: (z.add_(1), m.c(y))[1])(m.bn(z)))(x.relu()), c=conv(), bn=BN(4)),
        image(), "in place"),
    "forward-memory-of-a-view-changed-afterwards": (
        lambda_of(lambda m, x: (lambda z: (lambda y: (z.add_(1), m.c(y))[1])(m.bn(z.view(z.shape))))(x.relu()),
                  c=conv(), bn=BN(4)), image(), "in place"),
    "forward-dropout-hands-on-what-is-changed-afterwards": (
        lambda_of(lambda m, x: (lambda z: (lambda y: (z.add_(1), m.c(y))[1])(m.bn(m.drop(z))))(x.relu()),
                  c=conv(), bn=BN(4), drop=nn.Dropout(0.5)), image(), "in place"),
    "forward-result-changed-in-place": (
        lambda_of(lambda m, x: (lambda z: m.c(m.bn(z).add_(1)) + z[:, :, 1:-1, 1:-1])(x.relu()), c=conv(), bn=BN(4)),
        image(), "in place"),
    "average-pool-with-padding": (chain(conv(), nn.AvgPool2d(3, 1, 1), BN(4)), image(), "averages padding"),
    "zero-padding-layer": (chain(conv(), nn.ZeroPad2d(1), BN(4)), image(), "pads with a constant"),
    "max-pool-with-a-negative-scale": (chain(conv(), nn.MaxPool2d(2), BN(4)), image(), "takes a maximum"),
    "sum-with-a-residual-input": (
        lambda_of(lambda m, x: m.bn(m.c(x) + x), c=conv(padding=1), bn=BN(4)), image(), "input"),
    "batch-statistics-tracked-by-nobody": (
        chain(conv(), BN(4, track_running_stats=False)), image(), "normalises with the statistics"),
    "norm-in-train-mode-inside-an-eval-model": (_in_train_mode(), image(), "normalises with the statistics"),
    "whole-model-in-train-mode": (chain(conv(), BN(4)).train(), image(), "normalises with the statistics"),
    "nan-in-the-mean": (_spoiled("running_mean", float("nan")), image(), "not finite"),
    "infinite-variance": (_spoiled("running_var", float("inf")), image(), "not finite"),
    "negative-variance": (_spoiled("running_var", -0.5), image(), "not positive"),
    "hook-on-the-conv": (_hooked(0), image(), "has hooks"),
    "hook-on-the-norm": (_hooked(1), image(), "has hooks"),
    "pre-hook-on-the-conv": (_hooked_before(0), image(), "has hooks"),
    "pre-hook-on-the-norm": (_hooked_before(1), image(), "has hooks"),
    "backward-hook-on-the-norm": (_hooked_backward(), image(), "has hooks"),
    "state-dict-hook-on-the-norm": (_hooked_keys(), image(), "hooks on its state dict"),
    "parametrized-norm": (_parametrized_norm(), image(), "computed, not stored"),
    "functional-conv": (
        lambda_of(lambda m, x: m.bn(F.conv2d(x, m.c.weight)), c=conv(bias=False), bn=BN(4)), image(),
        "functional call"),
    "old-weight-norm": (chain(weight_norm(conv()), BN(4)), image(), "has hooks"),
    "new-weight-norm": (chain(parametrizations.weight_norm(conv()), BN(4)), image(), "parametrized"),
    "old-spectral-norm": (chain(spectral_norm(conv()), BN(4)), image(), "has hooks"),
    "new-spectral-norm": (chain(parametrizations.spectral_norm(conv()), BN(4)), image(), "parametrized"),
    "pruning-mask": (_pruned(), image(), "has hooks"),
    "weight-standardisation": (chain(Standardised(4, 4, 3), BN(4)), image(), "computed, not stored"),
    "conv-that-ignores-a-new-bias": (chain(DeafToBias(4, 4, 3, bias=False), BN(4)), image(), "would not use a bias"),
    "norm-subclass-that-adds-its-input": (chain(conv(), Residual(4)), image(), "`add` reads more than the norm"),
    "norm-subclass-with-a-parameter": (chain(conv(), Gated(4)), image(), "`mul` reads more than the norm"),
    "norm-subclass-that-moves-elements": (chain(conv(), Flipped(4)), image(), "forward also does `flip`"),
    "norm-subclass-that-does-more-before": (chain(conv(), Absolute(4)), image(), "more than normalise"),
    "norm-subclass-with-parts-and-more": (chain(conv(), PartlyActivated(4)), image(), "and call its parts"),
    "norm-under-autocast": (_under_autocast(), image(), "within `wrap_with_autocast`"),
    "functional-batch-norm": (Functional(), image(), "functional call"),
    "norm-in-a-plain-list": (_plain_list(), image(), "plain attribute"),
    "norm-never-called": (
        lambda_of(lambda m, x: m.c(x), c=conv(), bn=BN(4)), image(), "never called"),
    "norm-on-the-input": (chain(BN(4), nn.ReLU()), image(), "input"),
    "norm-is-the-model": (randomise(BN(4)), image(), "the model itself"),
    "dropout-that-is-active": (chain(conv(), nn.Dropout(), BN(4)), image(), "drops at random"),
}  # fmt: skip
CASES["dropout-that-is-active"][0][1].train()


@pytest.mark.parametrize("name", CASES)
def test_refuses_with_the_reason_and_changes_nothing(name):
    model, inputs, reason = CASES[name]
    model = copied(model).double()
    torch.manual_seed(5)
    expected = copied(model)(inputs)
    done = fold(model, inputs, prove="none")
    assert done.applied == []
    assert len(done.refused) >= 1
    assert all(reason in refusal.reason for refusal in done.refused), done.refused
    assert all(f"`{refusal.where}" in refusal.reason or not refusal.where for refusal in done.refused)
    torch.manual_seed(5)
    torch.testing.assert_close(done.model(inputs), expected, rtol=0, atol=0, equal_nan=True)


def _overflowing():
    model = chain(conv(), BN(4)).half()
    with torch.no_grad():
        model[1].running_var.fill_(0)
        model[1].weight.fill_(60000)
    return model


def test_a_weight_that_would_leave_the_range_of_half_is_refused():
    done = fold(_overflowing(), image().half(), prove="none")
    assert "range of float16" in done.refused[0].reason


class Distributed(nn.parallel.DistributedDataParallel):
    """The wrapper without the process group that it asks for."""

    def __init__(self, module):
        nn.Module.__init__(self)
        self.module = module


Distributed.__name__ = "DistributedDataParallel"


def _distributed(model):
    return Distributed(model)


def _quantized(model):
    quantized = pytest.importorskip("torch.ao.nn.quantized")
    return nn.Sequential(quantized.Conv2d(4, 4, 3), model[1])


def _imitating_quantization(model):
    qat = pytest.importorskip("torch.ao.nn.qat")
    config = pytest.importorskip("torch.ao.quantization").get_default_qat_qconfig("x86")
    return nn.Sequential(qat.Conv2d(4, 4, 3, qconfig=config), model[1])


def _uncopied(model):
    model.lock = threading.Lock()
    return model


@pytest.mark.parametrize(
    ("wrap", "words"),
    [
        pytest.param(nn.DataParallel, "model.module", id="data-parallel"),
        pytest.param(_distributed, "model.module", id="distributed-data-parallel"),
        pytest.param(_quantized, "`0` is quantized", id="quantized-module"),
        pytest.param(_imitating_quantization, "`0` is quantized, or prepared for it", id="quantization-aware-training"),
        pytest.param(_uncopied, "cannot be copied", id="cannot-be-copied"),
        pytest.param(torch.compile, "torch.compile", id="compiled"),
        pytest.param(lambda m: torch.jit.script(m), "TorchScript", id="script-module"),
    ],
)
def test_wrappers_are_refused_by_name(wrap, words):
    with pytest.raises(UsageError, match=words):
        fold(wrap(chain(conv(), BN(4))), image().float())


def test_lazy_norms_are_refused_until_they_are_initialised():
    with pytest.raises(UsageError, match=r"[Ll]azy"):
        fold(nn.Sequential(conv(), nn.LazyBatchNorm2d()).eval(), image().float())


def test_meta_tensors_hold_no_values():
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)).eval()
    done = fold(model, torch.empty(2, 4, 6, 6, device="meta"), prove="none")
    assert "meta device" in done.refused[0].reason


def test_control_flow_that_depends_on_data_is_named():
    model = lambda_of(lambda m, x: m.bn(m.c(x)) if x.sum() > 0 else x, c=conv(), bn=BN(4)).double()
    with pytest.raises(UsageError, match=r"a branch depends on the values of a tensor, at .*x\.sum\(\) > 0"):
        fold(model, image())


def test_without_inputs_nothing_is_known():
    with pytest.raises(UsageError, match="example inputs"):
        fold(chain(conv(), BN(4)))
