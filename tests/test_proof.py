"""The proof: right rewrites pass, wrong ones are caught, and a bad export is not blamed on the rewrite."""

from __future__ import annotations

import collections
import copy
import math
import warnings
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from normfix.errors import UsageError
from normfix.proof import Proof, verify
from normfix.proof.artefacts import InRuntime
from normfix.proof.copying import copied
from normfix.proof.inputs import families, smaller
from normfix.proof.measure import Result, distance, run, run_float64
from normfix.proof.together import joined, parted, run_together
from normfix.transforms import algebra

X = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(3))


def network() -> nn.Sequential:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3))
    norm = model[1]
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        norm.weight.normal_()
        norm.bias.normal_()
    return model.eval()


def folded(model, eps=1e-5, scale_bias=True, axis=0, mean=True, channel=None):
    """A hand-written fold with one thing wrong at a time."""
    new = copy.deepcopy(model)
    conv, norm = new[0], new[1]
    with torch.no_grad():
        s, t = algebra.scale_shift(
            norm.running_mean if mean else torch.zeros(4), norm.running_var, norm.weight, norm.bias, eps
        )
        if channel is not None:
            s[channel] = s[channel] * 1.001
        shape = [1, 1, 1, 1]
        shape[axis] = 4
        conv.weight.copy_(conv.weight.double() * s.reshape(shape))
        conv.bias.copy_((s if scale_bias else 1) * conv.bias.double() + t)
    new[1] = nn.Identity()
    return new


def test_a_right_fold_holds():
    proof = verify(network(), folded(network()), X)
    assert proof.holds, proof
    assert proof.formula < 1e-5 and proof.deployed is not None and proof.deployed < 1e-5 and proof.rounding < 1e-5
    assert {trial.inputs for trial in proof.trials} == {
        "given",
        "normal",
        "uniform",
        "large",
        "tiny",
        "constant",
        "batch of 1",
        "batch of 3",
    }


@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param({"eps": 0.0}, id="eps-forgotten"),
        pytest.param({"eps": 1e-3}, id="eps-of-another-library"),
        pytest.param({"scale_bias": False}, id="bias-not-scaled"),
        pytest.param({"axis": 1}, id="axis-swapped"),
        pytest.param({"mean": False}, id="running-mean-forgotten"),
        pytest.param({"channel": 2}, id="one-channel-off-by-a-thousandth"),
    ],
)
def test_a_wrong_fold_is_caught(mistake):
    proof = verify(network(), folded(network(), **mistake), X, level="formula")
    assert not proof.holds
    assert any("the rewrite is wrong" in note for note in proof.notes)


def test_neither_model_nor_the_random_state_is_changed():
    before, after = network().train(), network().train()
    states = [copy.deepcopy(model.state_dict()) for model in (before, after)]
    random = torch.get_rng_state()
    verify(before, after, X, level="formula")
    assert torch.equal(torch.get_rng_state(), random)
    for model, state in zip((before, after), states, strict=True):
        assert model.training
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_an_unfaithful_export_is_not_blamed_on_the_rewrite():
    """The exporter writes inference batch norm for a norm in train mode."""
    model = network()
    model[1].train()
    proof = verify(model, copy.deepcopy(model), X)
    assert proof.holds
    assert any("the export is not faithful to this model" in note for note in proof.notes)


class Unexportable(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(x) if float(x.sum()) > -1e9 else x


def test_a_model_that_cannot_be_exported_keeps_the_float64_proof():
    model = Unexportable().eval()
    proof = verify(model, copy.deepcopy(model), torch.randn(2, 4))
    assert proof.holds and proof.formula == 0 and proof.deployed is None
    assert any("not proven in ONNX Runtime" in note for note in proof.notes)


def test_a_rewritten_model_that_raises_is_not_proven():
    proof = verify(network(), nn.Sequential(nn.Conv2d(5, 4, 3)), X, level="formula")
    assert not proof.holds and math.isinf(proof.formula)
    assert any("does not run" in note for note in proof.notes)


def test_inputs_that_neither_model_takes_prove_nothing():
    with pytest.raises(UsageError, match="neither runs on the example inputs: RuntimeError"):
        verify(network(), network(), torch.randn(2, 5, 8, 8), level="formula")


def test_models_that_need_inputs_ask_for_them():
    with pytest.raises(UsageError, match=r"^comparing two models: they need inputs: give `example_inputs`, or --input"):
        verify(nn.Linear(2, 2), nn.Linear(2, 2))


class Returns(nn.Module):
    """Computes what a function does."""

    def __init__(self, compute):
        super().__init__()
        self.compute = compute

    def forward(self, x):
        return self.compute(x)


ROWS = torch.randn(4, 3, generator=torch.Generator().manual_seed(4))
FILL = torch.finfo(torch.float32).min
LAST = torch.tensor([False, False, True])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            lambda x: x.masked_fill(LAST, FILL), lambda x: (2 * x).masked_fill(LAST, FILL), id="a-column-is-filled"
        ),
        pytest.param(
            lambda x: x.masked_fill(x < 0, FILL), lambda x: (2 * x).masked_fill(x < 0, FILL), id="elements-are-filled"
        ),
        pytest.param(
            lambda x: x * torch.tensor([1e11, 1, 1]), lambda x: x * torch.tensor([1e11, 1, 2]), id="a-huge-column"
        ),
        pytest.param(
            lambda x: torch.stack([x * 1e11, x], 1), lambda x: torch.stack([x * 1e11, x * 2], 1), id="a-huge-channel"
        ),
        pytest.param(lambda x: {"a": x + 1}, lambda x: {"b": x + 1}, id="another-key"),
        pytest.param(lambda x: {"a": x + 1, "b": x}, lambda x: {"b": x + 1, "a": x}, id="entries-exchanged"),
        pytest.param(
            lambda x: x[:, 0].argsort() + 1000000, lambda x: x[:, 1].argsort() + 1000000, id="whole-numbers-by-one"
        ),
        pytest.param(lambda x: x > 0, lambda x: x >= 0.5, id="truth-values"),
    ],
)
def test_what_a_largest_element_would_hide_is_seen(before, after):
    assert verify(Returns(before), Returns(before), ROWS, level="formula").holds
    proof = verify(Returns(before), Returns(after), ROWS, level="formula")
    assert not proof.holds and proof.notes and proof.formula > 0.1


def test_entries_of_a_dict_have_no_order():
    first, second = Returns(lambda x: {"a": x + 1, "b": x}), Returns(lambda x: {"b": x, "a": x + 1})
    proof = verify(first, second, ROWS)
    assert proof.holds and proof.deployed < 1e-6


def test_columns_that_cancel_do_not_fail_a_right_rewrite():
    """Such a column is all rounding: another order of the same sums gives another one."""
    weight = torch.randn(3, 64, generator=torch.Generator().manual_seed(5))

    def sums(x, order):
        whole = x[:, :, None] * weight
        near = whole[..., order].sum(-1) - whole.sum(-1)
        return torch.cat([whole[..., order].sum(-1), near], 1)

    first = Returns(lambda x: sums(x, torch.arange(63, -1, -1)))
    second = Returns(lambda x: sums(x, torch.randperm(64, generator=torch.Generator().manual_seed(6))))
    assert verify(first, second, ROWS, level="formula").holds


@pytest.mark.parametrize("other", [pytest.param(3, id="a-number"), pytest.param(lambda x: x, id="a-function")])
def test_what_is_no_module_cannot_be_compared(other):
    for pair in ((network(), other), (other, network())):
        with pytest.raises(UsageError, match=r"expected a torch\.nn\.Module, got"):
            verify(*pair, X)


def test_sparse_outputs_cannot_be_compared():
    model = Returns(lambda x: x.to_sparse())
    with pytest.raises(UsageError, match="layout"):
        verify(model, model, ROWS, level="formula")


def test_another_number_of_outputs_is_not_proven():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    assert not verify(nn.Identity(), Pair(), X, level="formula").holds


class Casts(nn.Module):
    """Casts to float32 on the way, as attention layers and norms often do."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(x.float().to(torch.float32)) + torch.ones(4) + torch.arange(4.0, dtype=torch.float32)


def test_float64_survives_casts_in_the_forward():
    model = Casts().eval().double()
    x = torch.randn(2, 4, dtype=torch.float64)
    result = run_float64(model, (x,), {})
    assert result.outputs[0].dtype == torch.float64
    expected = nn.functional.linear(x, model.linear.weight, model.linear.bias) + 1 + torch.arange(4.0)
    assert distance([expected.detach()], result.outputs) < 1e-15


def test_whole_number_outputs_must_be_equal():
    class Best(nn.Module):
        def forward(self, x):
            return x.argmax(1)

    class Second(nn.Module):
        def forward(self, x):
            return x.argmin(1)

    assert verify(Best(), Best(), X, level="formula").holds
    assert not verify(Best(), Second(), X, level="formula").holds


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param([1.0, 2.0], [1.0, 2.0], 0.0, id="equal"),
        pytest.param([1.0, 2.0], [1.0, 2.2], 0.1, id="relative-to-the-largest"),
        pytest.param([0.0, 0.0], [0.0, 0.5], 0.5, id="absolute-where-all-are-zero"),
        pytest.param([math.nan, 1.0], [math.nan, 1.0], 0.0, id="nan-in-the-same-place"),
        pytest.param([math.nan, 1.0], [1.0, 1.0], math.inf, id="nan-in-one-only"),
        pytest.param([math.inf, 1.0], [math.inf, 1.0], 0.0, id="infinite-in-the-same-place"),
        pytest.param([math.inf], [-math.inf], math.inf, id="infinite-with-another-sign"),
    ],
)
def test_distance(first, second, expected):
    assert distance([torch.tensor(first)], [torch.tensor(second)]) == pytest.approx(expected)


def test_families_keep_shapes_dtypes_and_the_range_of_indices():
    index = torch.tensor([[3, 7], [5, 4]])
    mask = torch.tensor([True, False])
    made = families((X, index), {"mask": mask, "flag": 3})
    resized = [(f.name, len(f.args[0]), len(f.args[1])) for f in made if not f.deployable]
    assert resized == [("batch of 1", 1, 1), ("batch of 3", 3, 3)]
    for family in made:
        if not family.deployable:
            continue
        assert family.args[0].shape == X.shape and family.args[0].dtype == X.dtype
        assert family.args[1].dtype == torch.int64 and 3 <= int(family.args[1].min()) <= int(family.args[1].max()) <= 7
        assert torch.equal(family.kwargs["mask"], mask) and family.kwargs["flag"] == 3


def test_half_models_are_judged_by_their_own_rounding():
    model = network().bfloat16()
    proof = verify(model, folded(network()).bfloat16(), X.bfloat16(), level="formula")
    assert proof.holds and proof.rounding > 1e-4


class Pooled(nn.Module):
    def __init__(self, pool):
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.conv, self.pool, self.head = nn.Conv2d(3, 8, 3, padding=1), pool, nn.Linear(8, 5)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)

    def forward(self, x):
        return self.head(self.pool(self.conv(x).relu()).flatten(1))


@pytest.mark.parametrize(
    ("after", "holds"),
    [
        pytest.param(Pooled(nn.AvgPool2d(32)), True, id="summed-in-another-order"),
        pytest.param(Pooled(nn.AvgPool2d(32, divisor_override=1025)), False, id="divided-by-another-number"),
        pytest.param(Pooled(nn.AvgPool2d(31)), False, id="without-the-last-row"),
    ],
)
def test_a_pool_of_the_whole_image(after, holds):
    given = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert verify(Pooled(nn.AdaptiveAvgPool2d(1)), after, given).holds == holds


class Total(nn.Module):
    def __init__(self, wide):
        super().__init__()
        self.wide, self.weight = wide, nn.Parameter(torch.ones(4, dtype=torch.float16))

    def forward(self, x):
        total = torch.zeros(len(x), 1, dtype=torch.float32 if self.wide else x.dtype)
        for column in x.split(1, dim=1):
            total = total + column
        return total.to(x.dtype) * self.weight


def test_a_cast_that_a_half_model_needs_must_not_go():
    given = torch.rand(2, 1024, generator=torch.Generator().manual_seed(1)).half()
    given[:, 0] = 4096.0
    found = verify(Total(True), Total(False), given, level="formula")
    assert not found.holds and found.formula < 1e-10


def test_keyword_and_dict_inputs():
    class Named(nn.Module):
        def forward(self, batch, *, scale):
            return {"y": [batch["x"] * scale]}

    proof = verify(Named(), Named(), ({"x": X},), {"scale": torch.tensor(2.0)})
    assert proof.holds and proof.deployed is not None


def test_a_proof_prints_its_numbers():
    text = str(verify(network(), folded(network()), X, level="formula"))
    assert text.startswith("proven: formula") and "rounding" in text
    assert str(Proof(False, None, None, None, level="none")) == "not proven: no proof was asked for"
    assert str(Proof(False, None, None, None, ("why",), level="none")) == "not proven: why"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(lambda x: (x, "nchw"), lambda x: (x, "nhwc"), id="another-text"),
        pytest.param(lambda x: {"y": x, "kind": "a"}, lambda x: {"y": x}, id="a-text-is-gone"),
        pytest.param(lambda x: (x, torch.float32), lambda x: (x, torch.float64), id="another-dtype"),
        pytest.param(lambda x: (x, 3), lambda x: (x, 4), id="another-number"),
        pytest.param(lambda x: (x, slice(2)), lambda x: (x, object()), id="an-object-of-another-class"),
    ],
)
def test_what_is_no_tensor_is_compared_too(before, after):
    assert verify(Returns(before), Returns(before), ROWS, level="formula").holds
    proof = verify(Returns(before), Returns(after), ROWS, level="formula")
    assert not proof.holds and proof.notes


def test_an_object_that_cannot_be_compared_is_named():
    model = Returns(lambda x: (x, object()))
    proof = verify(model, model, ROWS, level="formula")
    assert proof.holds and "an output of class `object` is not compared" in proof.notes


def test_a_list_and_a_tuple_are_the_same():
    proof = verify(Returns(lambda x: [x, (x + 1, x)]), Returns(lambda x: (x, [x + 1, x])), ROWS, level="formula")
    assert proof.holds and proof.formula == 0


@dataclass
class Pair:
    first: torch.Tensor
    rest: list[object]


def test_tensors_in_nested_classes_are_compared():
    before = Returns(lambda x: {"a": [Pair(x, [x + 1, "kept"])]})
    assert verify(before, before, ROWS, level="formula").holds
    for other in (Pair(ROWS, [ROWS, "kept"]), Pair(ROWS, [ROWS + 1, "lost"])):
        assert not verify(before, Returns(lambda x, other=other: {"a": [other]}), ROWS, level="formula").holds


class Keyless(list):
    """A container of a library that gives torch its parts without names, as the outputs of diffusers."""


class KeylessDict(collections.OrderedDict):
    pass


@pytest.fixture
def keyless():
    register = torch.utils._pytree.register_pytree_node
    register(Keyless, lambda value: (list(value), None), lambda parts, _: Keyless(parts))
    register(
        KeylessDict, lambda value: (list(value.values()), list(value)), lambda v, k: KeylessDict(zip(k, v, strict=True))
    )
    yield
    for kind in (Keyless, KeylessDict):
        torch.utils._pytree.SUPPORTED_NODES.pop(kind)


@pytest.mark.parametrize(
    ("after", "holds"),
    [
        pytest.param(lambda x: {"a": Keyless([x, KeylessDict(b=x * 2)])}, True, id="the-same"),
        pytest.param(lambda x: {"a": Keyless([x, KeylessDict(b=x * 3)])}, False, id="another-number"),
        pytest.param(lambda x: {"a": Keyless([x, KeylessDict(b=x * 2), x])}, False, id="one-more"),
        pytest.param(lambda x: {"a": Keyless([KeylessDict(b=x), x * 2])}, False, id="nested-differently"),
    ],
)
def test_containers_without_names_of_their_parts(keyless, after, holds):
    before = Returns(lambda x: {"a": Keyless([x, KeylessDict(b=x * 2)])})
    assert verify(before, Returns(after), ROWS, level="formula").holds == holds


def test_integer_inputs_reach_every_row_of_a_table_that_they_may():
    table = nn.EmbeddingBag(10, 4, mode="sum").eval()
    wrong = copy.deepcopy(table)
    with torch.no_grad():
        wrong.weight[5].mul_(1.001)
    index = torch.tensor([[0, 9], [1, 8]])
    assert verify(table, copy.deepcopy(table), index, level="formula").holds
    assert not verify(table, wrong, index.repeat(1, 8), level="formula").holds


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_of_half_models_only_large_mistakes_are_seen_and_that_is_said(dtype):
    model = network().to(dtype)
    proof = verify(model, folded(network()).to(dtype), X.to(dtype), level="formula")
    assert proof.holds and any("cannot be told from its own rounding" in note for note in proof.notes)
    assert not verify(model, folded(network(), mean=False).to(dtype), X.to(dtype), level="formula").holds


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param((2, 3, 64, 64), None, id="small-already"),
        pytest.param((8, 10), (2, 10), id="features-are-not-cut"),
        pytest.param((1, 3, 224, 100), (1, 3, 64, 64), id="an-image"),
        pytest.param((4, 1, 32, 8, 32), (2, 1, 16, 8, 16), id="a-volume"),
    ],
)
def test_inputs_are_cut(given, expected):
    made = smaller((torch.zeros(given),), {"flag": 3})
    assert (made and (made[0][0].shape, made[1])) == (expected and (expected, {"flag": 3}))


def test_the_given_inputs_are_proven_whole_and_others_may_be_cut():
    made = families((torch.zeros(4, 3, 96, 96),), {}, smaller((torch.zeros(4, 3, 96, 96),), {}))
    assert [(f.name, tuple(f.args[0].shape)) for f in made if f.deployable] == [("given", (4, 3, 96, 96))]
    assert {tuple(f.args[0].shape) for f in made[1:]} == {(number, 3, 64, 64) for number in (1, 2, 3)}


def test_a_copy_of_an_exported_program_warns_of_nothing() -> None:
    program = torch.export.export(nn.Linear(2, 3), (torch.randn(4, 2),)).module()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copied(program)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        pytest.param((torch.tensor(2.0),), {}, id="a-number-has-no-batch"),
        pytest.param((torch.zeros(0, 3),), {}, id="an-empty-batch"),
        pytest.param((X,), {"mask": torch.ones(8)}, id="batches-of-two-sizes"),
        pytest.param((3,), {}, id="no-tensors"),
    ],
)
def test_families_without_a_common_batch_are_run_one_by_one(args, kwargs):
    assert joined(families(args, kwargs)[1:3]) is None


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(Result([], "it failed"), id="the-run-failed"),
        pytest.param(Result([torch.zeros(4, 2), torch.tensor(1.0)]), id="a-number-is-of-the-whole-batch"),
        pytest.param(Result([torch.zeros(5, 2)]), id="five-rows-are-not-two-batches"),
    ],
)
def test_results_that_do_not_fall_apart_are_not_used(result):
    assert parted([result], [4], 2) is None


def test_families_run_together_give_what_they_give_alone():
    model, made = network().double(), families((X.double(),), {})[1:]
    sizes = []

    def runner(family):
        sizes.append(len(family.args[0]))
        return run_float64(model, family.args, family.kwargs)

    whole = run_together(made, runner)
    assert sizes == [1, 3, 6]
    for family in made:
        if family.batch:
            assert len(whole[family.name].outputs[0]) == family.batch
        else:
            assert distance(run(model, family.args, family.kwargs).outputs, whole[family.name].outputs) < 1e-14


@pytest.mark.parametrize(
    "compute",
    [
        pytest.param(lambda x: x.reshape(2, -1), id="one-batch-size-fails"),
        pytest.param(lambda x: x.sum(0), id="a-sum-over-the-batch"),
        pytest.param(lambda x: (x, x.new_ones(6)), id="as-long-for-every-batch"),
        pytest.param(lambda x: {"many": x} if len(x) > 1 else {"one": x}, id="other-names-for-one-sample"),
    ],
)
def test_families_are_not_run_together_where_outputs_are_no_batches(compute):
    made = families((torch.zeros(2, 3, 5),), {})[1:]
    assert run_together(made, lambda family: run(Returns(compute), family.args, family.kwargs)) is None


def test_outputs_without_a_number_prove_nothing():
    model = nn.Linear(3, 2)
    found = verify(model, nn.Sequential(copy.deepcopy(model), nn.Softplus()), torch.zeros(0, 3))
    assert not found.holds and any("nothing to compare" in note for note in found.notes)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param(lambda x: x, lambda x: x.half(), "before and torch.float16 after", id="a-float"),
        pytest.param(
            lambda x: x.argmax(1), lambda x: x.argmax(1).int(), "is torch.int64 before and", id="a-whole-number"
        ),
        pytest.param(lambda x: x > 0, lambda x: (x > 0).long(), "is torch.bool before and torch.int64", id="no-truth"),
        pytest.param(
            lambda x: (x, None), lambda x: x, "nested differently: `output[0]`, `output[1]`", id="none-is-gone"
        ),
        pytest.param(
            lambda x: (x, None), lambda x: (x, []), "`output[1]` is None before and empty", id="none-or-empty"
        ),
        pytest.param(lambda x: x, lambda x: (x,), "`output` before, `output[0]` after", id="a-tuple-of-one"),
        pytest.param(lambda x: {"a": x}, lambda x: (x,), "`output['a']` before, `output[0]` after", id="no-dict"),
        pytest.param(lambda x: Pair(x, [x]), lambda x: Pair(x, [[x]]), "`output.rest[0]` before", id="in-a-dataclass"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_another_form_of_the_same_numbers_is_said(before, after, told, dtype):
    for first, second, holds in ((before, before, True), (after, after, True), (before, after, False)):
        proof = verify(_weighted(first, dtype), _weighted(second, dtype), ROWS.to(dtype), level="formula")
        assert proof.holds == holds and (holds or any(told in note for note in proof.notes)), proof


def _weighted(compute, dtype):
    """The dtype of a model is that of its parameters."""
    model = Returns(compute)
    model.unused = nn.Parameter(torch.zeros(1, dtype=dtype))
    return model


def test_an_onnx_file_knows_tensors_in_a_row_only():
    model = Returns(lambda x: {"a": (x + 1, x > 0)}).eval()
    file = torch.onnx.export(model, (ROWS,), dynamo=True, verbose=False).model_proto.SerializeToString()
    assert verify(model, InRuntime(file), ROWS).holds and verify(InRuntime(file), model, ROWS).holds
