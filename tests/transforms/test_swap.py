"""Swaps carry everything over, or refuse by name; what they change is measured."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from transform_networks import chain, conv, image, lambda_of, randomise, rows

from normfix.errors import UsageError
from normfix.rewrites import Equivalence, ProofFailed
from normfix.transforms.grouping import group_count
from normfix.transforms.swap import swap

BN = nn.BatchNorm2d
X = image().float()


def test_batch_to_sync_keeps_everything():
    model = chain(conv(), BN(4, eps=0.3, momentum=None))
    model[1].weight.requires_grad_(False)
    model[1].train()
    done = swap(model, "sync_batch", X, prove="none")
    new = done.model[1]
    assert type(new) is nn.SyncBatchNorm and new.eps == 0.3 and new.momentum is None and new.training
    assert not new.weight.requires_grad and new.bias.requires_grad
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in done.model.state_dict().items())
    assert type(model[1]) is BN and done.equivalence is Equivalence.EVAL


@pytest.mark.parametrize(
    ("layer", "inputs", "expected"),
    [
        pytest.param(nn.SyncBatchNorm(4), torch.randn(3, 4), nn.BatchNorm1d, id="rank-2"),
        pytest.param(nn.SyncBatchNorm(4), torch.randn(3, 4, 5), nn.BatchNorm1d, id="rank-3"),
        pytest.param(nn.SyncBatchNorm(4), torch.randn(3, 4, 5, 5), nn.BatchNorm2d, id="rank-4"),
        pytest.param(nn.SyncBatchNorm(4), torch.randn(3, 4, 2, 2, 2), nn.BatchNorm3d, id="rank-5"),
    ],
)
def test_sync_to_batch_takes_the_rank_that_it_saw(layer, inputs, expected):
    model = chain(nn.Identity(), layer)
    done = swap(model, "batch", inputs, prove="formula")
    assert type(done.model[1]) is expected and done.proof.holds and done.proof.formula == 0


def test_sync_to_batch_without_inputs_is_refused():
    done = swap(chain(conv(), nn.SyncBatchNorm(4)), "batch")
    assert "rank of its input is not known" in done.refused[0].reason and done.applied == []


@pytest.mark.parametrize(
    ("channels", "elements", "groups", "expected"),
    [
        pytest.param(64, 9, 32, 32, id="64-channels"),
        pytest.param(72, 9, 32, 24, id="72-channels-largest-divisor"),
        pytest.param(7, 9, 32, 7, id="7-channels"),
        pytest.param(1, 9, 32, 1, id="1-channel"),
        pytest.param(64, 1, 64, 32, id="never-one-value-in-a-group"),
        pytest.param(64, None, 32, 32, id="size-not-known"),
        pytest.param(64, 9, {"*": 8}, 8, id="by-name"),
        pytest.param(64, 9, lambda channels: channels // 4, 16, id="by-function"),
    ],
)
def test_groups_policy(channels, elements, groups, expected):
    assert group_count("bn", channels, elements, groups) == expected


def test_batch_to_group_keeps_parameters_and_names():
    model = chain(conv(), BN(4, eps=0.2), nn.ReLU(inplace=True)).double()
    done = swap(model, "group", image(), groups=2)
    new = done.model[1]
    assert isinstance(new, nn.GroupNorm) and new.num_groups == 2 and new.eps == 0.2
    assert new.weight.dtype == torch.float64 and torch.equal(new.weight, model[1].weight)
    assert set(done.model.state_dict()) == {"0.weight", "0.bias", "1.weight", "1.bias"}
    assert done.equivalence is Equivalence.INTERFACE
    assert done.proof.holds and done.proof.formula is None and done.proof.drift > 0
    done.model.train()(image()).sum().backward()


class DoublesWhereExported(nn.Module):
    def forward(self, x):
        return x * 2 if torch.compiler.is_exporting() else x


def test_a_new_model_that_is_another_in_onnx_runtime_is_not_returned():
    model = chain(conv(), BN(4), DoublesWhereExported())
    with pytest.raises(ProofFailed, match=r"the new model differs by 1.0e\+00 in ONNX Runtime on given inputs"):
        swap(model, "group", X, groups=2)
    assert swap(model, "group", X, groups=2, prove="formula").proof.holds


@pytest.mark.parametrize(
    ("inputs", "dtype"),
    [
        pytest.param(torch.full_like(X, 0.5), torch.float32, id="constants-round-by-luck"),
        pytest.param(X * 1e-3, torch.float32, id="tiny"),
        pytest.param(X, torch.bfloat16, id="half-precision-rounds-too-coarsely-to-tell"),
    ],
)
@pytest.mark.parametrize("to", ["group", "instance"])
def test_what_rounding_explains_holds(to, inputs, dtype):
    model = chain(*[layer for _ in range(6) for layer in (conv(kernel=1), BN(4))]).to(dtype)
    assert swap(model, to, inputs.to(dtype), groups=4).proof.holds


def test_without_inputs_nothing_is_proven_and_that_is_said():
    done = swap(randomise(nn.Sequential(nn.Conv2d(3, 4, 3), BN(4))), "group")
    assert [change.where for change in done.applied] == ["1"]
    assert str(done).endswith("\nnot proven: there are no example inputs")


def test_a_group_of_one_value_is_refused():
    model = randomise(nn.Sequential(nn.Flatten(), nn.Linear(144, 1), nn.BatchNorm1d(1)))
    done = swap(model, "group", X, prove="none")
    assert "groups of one value" in done.refused[0].reason


@pytest.mark.parametrize(
    "layer", [pytest.param(BN(4, affine=False), id="affine-false"), pytest.param(BN(4, bias=False), id="bias-none")]
)
def test_norms_without_parameters_are_swapped_too(layer):
    done = swap(chain(conv(), layer), "group", X, prove="formula")
    assert len(done.applied) == 1
    assert (done.model[1].weight is None) == (layer.weight is None) and done.model[1].bias is None


def test_every_name_of_a_shared_norm_gets_the_same_new_object():
    norm = BN(4)
    model = lambda_of(lambda m, x: m.b(m.d(m.a(m.c(x)))), c=conv(), a=norm, d=conv(), b=norm)
    done = swap(model, "sync_batch", X, prove="none")
    assert done.model.a is done.model.b and type(done.model.a) is nn.SyncBatchNorm


def test_one_of_the_names_of_a_shared_norm_is_enough():
    norm = BN(4)
    model = lambda_of(lambda m, x: m.b(m.a(m.c(x))), c=conv(), a=norm, b=norm)
    done = swap(model, "sync_batch", X, where="b", prove="none")
    assert done.model.a is done.model.b and type(done.model.a) is nn.SyncBatchNorm


def test_tied_weights_stay_tied():
    model = lambda_of(lambda m, x: m.b(m.a(x).relu()), a=BN(4), b=BN(4))
    model.b.weight = model.a.weight
    new = swap(model, "group", X, groups=2, prove="none").model
    assert isinstance(new.b, nn.GroupNorm) and new.a.weight is new.b.weight and new.a.bias is not new.b.bias


def _in_a_list():
    model = lambda_of(lambda m, x: m.listed[0](m.c(x)), c=conv(), n=BN(4))
    model.listed = [model.n]
    return model


def _of_two_ranks():
    return lambda_of(lambda m, x: m.n(x).flatten(2) + m.n(x.flatten(2)), n=nn.SyncBatchNorm(4))


@pytest.mark.parametrize(
    ("model", "to", "reason"),
    [
        pytest.param(_in_a_list(), "group", "`n` is also kept in the plain attribute `listed`", id="plain-attribute"),
        pytest.param(_of_two_ranks(), "batch", "`n` reads tensors of several ranks", id="called-with-two-ranks"),
        pytest.param(_of_two_ranks(), "instance", "`n` reads tensors of several ranks", id="instance-of-two-ranks"),
        pytest.param(
            chain(nn.AdaptiveAvgPool2d(1), conv(4, 1, 1), BN(1)), "layer", "one value for each sample", id="one-value"
        ),
    ],
)
def test_what_other_calls_would_not_bear_is_refused(model, to, reason):
    done = swap(model, to, X, prove="formula")
    assert done.applied == [] and reason in done.refused[0].reason


def test_a_norm_of_several_ranks_becomes_one_of_groups():
    done = swap(_of_two_ranks(), "group", X, groups=2, prove="formula")
    assert done.refused == [] and done.proof.holds


def test_hooks_on_gradients_are_told():
    model = chain(conv(), BN(4))
    model[1].weight.register_hook(lambda gradient: 2 * gradient)
    done = swap(model, "sync_batch", X, prove="none")
    assert done.notes == ["the hook on the gradient of `1.weight` stays with the given model"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param({"where": []}, "`where` is empty", id="no-pattern"),
        pytest.param({"groups": 2.0}, "`groups` is 2.0; expected", id="groups-no-number"),
        pytest.param({"groups": "2"}, "`groups` is '2'; expected", id="groups-text"),
    ],
)
def test_options_that_say_nothing_are_errors(options, reason):
    with pytest.raises(UsageError, match=reason):
        swap(chain(conv(), BN(4)), "group", X, prove="none", **options)


def test_the_root_itself_may_be_the_norm():
    done = swap(randomise(BN(4)), "group", image().float(), prove="none")
    assert isinstance(done.model, nn.GroupNorm)


def test_where_takes_patterns_of_paths():
    model = chain(nn.Sequential(conv(), BN(4)), nn.Sequential(conv(), BN(4)))
    done = swap(model, "group", X, where="0.*", prove="none")
    assert [change.where for change in done.applied] == ["0.1"] and type(done.model[1][1]) is BN


class Own(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x) + 1


def test_unknown_subclasses_hooks_and_lazy_norms_are_refused_by_name():
    hooked = BN(4)
    hooked.register_forward_hook(lambda *_: None)
    model = lambda_of(lambda m, x: m.h(m.o(x)), o=Own(4), h=hooked)
    reasons = [refusal.reason for refusal in swap(model, "group", X, prove="none").refused]
    assert "`o` is a Own" in reasons[0] and "`h` has hooks" in reasons[1]
    with pytest.raises(UsageError, match="is lazy"):
        swap(nn.Sequential(nn.LazyBatchNorm2d()), "group", prove="none")


def test_group_to_batch_needs_data():
    model = chain(conv(), nn.GroupNorm(2, 4))
    assert "give `calibrate=`" in swap(model, "batch", X, prove="none").refused[0].reason
    told = swap(model, "batch", X, uncalibrated=True, prove="none")
    assert "eval output will be wrong" in told.notes[0]


def _calibrated(data, model=None, **options):
    model = model or chain(nn.Identity(), nn.GroupNorm(2, 4)).double()
    return swap(model, "batch", options.pop("inputs", SAMPLES[:2]), calibrate=data, prove="none", **options)


SAMPLES = image(batch=11) * torch.linspace(0.5, 3, 11, dtype=torch.float64).reshape(-1, 1, 1, 1) + torch.arange(
    11, dtype=torch.float64
).reshape(-1, 1, 1, 1)


def _several():
    yield SAMPLES[:7]
    yield [SAMPLES[7:8]]
    yield {"input": SAMPLES[8:]}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param([SAMPLES], id="one-batch"),
        pytest.param(list(SAMPLES.split(1)), id="one-sample-each"),
        pytest.param(list(SAMPLES.split(4)), id="a-smaller-last-one"),
        pytest.param(
            torch.utils.data.DataLoader(torch.utils.data.TensorDataset(SAMPLES), 3), id="data-loader-of-tuples"
        ),
        pytest.param(torch.utils.data.DataLoader(SAMPLES, 5, shuffle=True), id="shuffled-data-loader"),
        pytest.param([SAMPLES[:0], SAMPLES[:5], SAMPLES[5:]], id="an-empty-one"),
    ],
)
def test_calibration_is_that_of_all_samples_however_they_are_cut(data):
    done = _calibrated(data)
    assert done.model[1].momentum == 0.1 and not done.model[1].training and done.notes == []
    torch.testing.assert_close(done.model[1].running_mean, SAMPLES.mean((0, 2, 3)), rtol=0, atol=1e-12)
    torch.testing.assert_close(done.model[1].running_var, SAMPLES.var((0, 2, 3)), rtol=1e-12, atol=0)


def test_batches_may_come_in_any_form():
    model = randomise(nn.GroupNorm(2, 4)).double()
    done = _calibrated(_several(), model)
    torch.testing.assert_close(done.model.running_var, SAMPLES.var((0, 2, 3)), rtol=1e-12, atol=0)


def test_every_call_of_a_shared_norm_counts():
    model = lambda_of(lambda m, x: m.n(input=x)[:2] + m.n(3 * x[:2] + 1), n=nn.GroupNorm(2, 4)).double()
    read = torch.cat([SAMPLES, 3 * SAMPLES[:2] + 1])
    done = _calibrated([SAMPLES], model)
    torch.testing.assert_close(done.model.n.running_mean, read.mean((0, 2, 3)))
    torch.testing.assert_close(done.model.n.running_var, read.var((0, 2, 3)))


def test_a_norm_that_no_batch_reaches_is_named():
    model = lambda_of(lambda m, x, far=False: m.b(x) if far else m.a(x), a=nn.GroupNorm(2, 4), b=nn.GroupNorm(2, 4))
    done = _calibrated([SAMPLES], model.double(), inputs=(SAMPLES[:2], True), where="b")
    assert done.notes == ["eval output will be wrong: no batch reached `b`, which holds the statistics of a new layer"]


def _broken():
    yield SAMPLES
    raise OSError("the disk is gone")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param([], "there are no batches", id="none"),
        pytest.param(iter(()), "there are no batches", id="ends-at-once"),
        pytest.param(_broken(), r"batch 2 cannot be read \(OSError: the disk is gone\)", id="raises"),
        pytest.param(3, "batch 1 cannot be read .*not iterable", id="not-iterable"),
        pytest.param([SAMPLES, SAMPLES / 0], "the mean of what `1` reads is not finite", id="not-finite"),
        pytest.param(["text"], "the model does not take batch 1", id="no-tensor"),
    ],
)
def test_batches_that_give_no_statistics_say_why(data, reason):
    with pytest.raises(UsageError, match=f"calibrating: {reason}"):
        _calibrated(data)


@pytest.mark.parametrize(
    "batch",
    [
        pytest.param((X, torch.tensor([0, 1])), id="labels-are-no-argument-of-forward"),
        pytest.param(X[:, :1], id="other-channels"),
    ],
)
def test_a_batch_that_the_model_does_not_take_is_named(batch):
    with pytest.raises(UsageError, match="calibrating: the model does not take batch 2"):
        swap(chain(conv(), nn.GroupNorm(2, 4)), "batch", X, calibrate=[X, batch], prove="none")


@pytest.mark.parametrize(
    ("to", "layer", "inputs", "expected"),
    [
        pytest.param("instance", BN(4), X, nn.InstanceNorm2d, id="instance"),
        pytest.param("layer", BN(4), X, nn.GroupNorm, id="layer-on-images"),
        pytest.param("layer", nn.BatchNorm1d(4), rows().float(), nn.LayerNorm, id="layer-on-rows"),
    ],
)
def test_other_targets(to, layer, inputs, expected):
    done = swap(chain(nn.Identity(), layer), to, inputs, prove="formula")
    assert type(done.model[1]) is expected and done.proof.holds
    assert torch.equal(done.model[1].weight, layer.weight)


def test_frozen_and_back_copies_eps():
    pytest.importorskip("timm_shim")
    pytest.importorskip("torchvision")
    model = chain(conv(), BN(4, eps=0.3))
    frozen = swap(model, "frozen_batch", X, prove="formula")
    assert frozen.proof.formula < 1e-10 and frozen.model[1].eps == 0.3
    back = swap(frozen.model, "batch", X, prove="formula")
    assert type(back.model[1]) is BN and back.model[1].eps == 0.3 and back.proof.formula < 1e-10


def test_timm_norms_keep_their_activation():
    pytest.importorskip("timm_shim")
    layers = pytest.importorskip("timm.layers")
    model = chain(conv(), layers.BatchNormAct2d(4, act_layer="silu"))
    done = swap(model, "group", X, groups=2, prove="formula")
    assert type(done.model[1]).__name__ == "GroupNormAct" and isinstance(done.model[1].act, nn.SiLU)
    assert torch.equal(done.model[1].weight, model[1].weight)


def test_timm_group_norms_keep_their_activation_too():
    pytest.importorskip("timm_shim")
    layers = pytest.importorskip("timm.layers")
    model = chain(conv(), layers.GroupNormAct(4, 2, act_layer="silu"))
    new = swap(model, "batch", X, calibrate=[X], prove="formula").model[1]
    assert type(new).__name__ == "BatchNormAct2d" and isinstance(new.act, nn.SiLU)
    assert torch.equal(new.weight, model[1].weight)


@pytest.mark.parametrize(
    ("to", "expected"), [("instance", nn.InstanceNorm2d), ("layer", nn.GroupNorm), ("batch", nn.BatchNorm2d)]
)
def test_a_frozen_norm_is_no_exception(to, expected):
    pytest.importorskip("timm_shim")
    frozen = pytest.importorskip("torchvision.ops").FrozenBatchNorm2d(4)
    new = swap(chain(conv(), frozen), to, X, prove="formula").model[1]
    assert type(new) is expected and torch.equal(new.weight, frozen.weight)


class FrozenBatchNormOfMyOwn(nn.Module):
    def forward(self, x):
        return x * 2


def test_a_frozen_norm_has_reasons_to_stay():
    pytest.importorskip("timm_shim")
    frozen = pytest.importorskip("torchvision.ops").FrozenBatchNorm2d(4, eps=0.0)
    model = chain(conv(), frozen, FrozenBatchNormOfMyOwn())
    shared = swap(model, "sync_batch", X, prove="none")
    assert "`1` is frozen" in shared.refused[0].reason
    assert "`2` is a FrozenBatchNormOfMyOwn, a subclass that normfix does not know" in shared.refused[1].reason
    assert "`1` has an eps of 0" in swap(model, "group", X, prove="none").refused[0].reason


def test_old_checkpoints_move():
    model = chain(conv(), BN(4))
    other = randomise(copy.deepcopy(model), seed=4)
    done = swap(model, "group", X, prove="none")
    done.model.load_state_dict(done.migrate(other.state_dict()), strict=True)
    assert torch.equal(done.model[1].weight, other[1].weight)


@pytest.mark.parametrize("groups", [0, -4])
def test_a_group_norm_of_no_groups_is_an_error(groups):
    with pytest.raises(UsageError, match=f"a group norm has at least one group, not {groups}"):
        swap(chain(conv(), BN(4)), "group", image(), groups=groups)


@pytest.mark.parametrize(
    ("where", "told"),
    [
        pytest.param("*", "there is no norm that could become batch", id="of no other kind"),
        pytest.param(
            ["a.*", "b"], "there is no norm that `a.*`, `b` names that could become batch", id="of other names"
        ),
    ],
)
def test_nothing_to_swap_is_told(where, told):
    done = swap(chain(conv(), BN(4)).double(), "batch", image(), where=where, prove="formula")
    assert (done.applied, done.refused, done.notes) == ([], [], [told])


def test_an_unknown_kind_is_an_error():
    with pytest.raises(UsageError, match="no kind of norm"):
        swap(chain(conv(), BN(4)), "spectral")


def _parametrized():
    norm = BN(4)
    parametrize.register_parametrization(norm, "weight", nn.Softplus())
    return norm


def _with_key_hook():
    norm = BN(4)
    norm.register_state_dict_post_hook(lambda *_: None)
    return norm


def _with_a_buffer_of_its_own():
    norm = BN(4)
    norm.register_buffer("seen", torch.zeros(1))
    return norm


@pytest.mark.parametrize(
    ("norm", "to", "options", "reason"),
    [
        pytest.param(_parametrized(), "group", {}, "is a ParametrizedBatchNorm2d|is parametrized", id="parametrized"),
        pytest.param(_with_key_hook(), "group", {}, "hooks on its state dict", id="state-dict-hook"),
        pytest.param(_with_a_buffer_of_its_own(), "group", {}, "holds `seen`", id="buffer-of-its-own"),
        pytest.param(BN(4), "group", {"groups": {"other": 2}}, "matches no pattern", id="groups-by-name-forget-it"),
        pytest.param(BN(4), "group", {"groups": {"*": 3}}, "do not divide", id="groups-do-not-divide"),
        pytest.param(BN(4), "group", {"groups": lambda channels: 0}, "do not divide", id="no-groups"),
        pytest.param(BN(4), "group", {"groups": lambda channels: None}, "gets None groups", id="groups-of-nothing"),
        pytest.param(nn.BatchNorm1d(36), "instance", {}, "without spatial axes", id="instance-norm-of-rows"),
        pytest.param(nn.BatchNorm1d(36), "frozen_batch", {}, "does not read images", id="frozen-norm-of-rows"),
    ],
)
def test_what_has_no_safe_swap_says_why(norm, to, options, reason):
    rowed = isinstance(norm, nn.BatchNorm1d)
    model = chain(nn.Flatten(1) if rowed else conv(), norm)
    inputs = X[:, :1] if rowed else X
    before = copy.deepcopy(model.state_dict())
    done = swap(model, to, inputs, prove="none", **options)
    assert done.applied == [] and re.search(reason, done.refused[0].reason), done.refused
    assert all(torch.equal(value, done.model.state_dict()[name]) for name, value in before.items())


@pytest.mark.parametrize("to", ["group", "instance", "layer", "sync_batch"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_dtype_mode_gradients_and_names_are_kept(to, training):
    model = chain(conv(), BN(4, eps=0.2, momentum=0.3)).double().train(training)
    model[1].bias.requires_grad_(False)
    new = swap(model, to, image(), prove="none").model[1]
    assert new.eps == 0.2 and new.training is training and getattr(new, "momentum", 0.3) in (0.3, 0.1)
    assert new.weight.requires_grad and not new.bias.requires_grad
    assert new.weight.dtype == torch.float64 and torch.equal(new.weight, model[1].weight)
    assert torch.equal(new.bias, model[1].bias)


def test_patterns_may_be_several():
    model = chain(conv(), BN(4), conv(), BN(4), nn.Identity(), BN(4))
    done = swap(model, "sync_batch", X, where=["1", "5"], prove="none")
    assert [change.where for change in done.applied] == ["1", "5"] and type(done.model[3]) is BN


def test_a_frozen_norm_becomes_a_group_norm_too():
    pytest.importorskip("timm_shim")
    frozen = pytest.importorskip("torchvision.ops").FrozenBatchNorm2d(4)
    done = swap(chain(conv(), frozen), "group", X, groups=2, prove="none")
    assert type(done.model[1]) is nn.GroupNorm and torch.equal(done.model[1].weight, frozen.weight)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices: SyncBatchNorm trains on GPUs only")
def test_two_ranks_with_half_a_batch_train_like_one_with_the_whole(tmp_path):
    torch.multiprocessing.spawn(_train_half, (str(tmp_path / "rendezvous"),), nprocs=2)


def _train_half(rank: int, rendezvous: str) -> None:
    torch.distributed.init_process_group("nccl", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    whole = torch.randn(8, 4, 6, 6, generator=torch.Generator().manual_seed(0)).cuda(rank)
    model = chain(conv(), BN(4)).train().cuda(rank)
    new = swap(model, "sync_batch", prove="none").model
    expected = model(whole)[rank * 4 : rank * 4 + 4]
    torch.testing.assert_close(new(whole[rank * 4 : rank * 4 + 4]), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(new[1].running_var, model[1].running_var, rtol=1e-4, atol=1e-4)
    torch.distributed.destroy_process_group()
