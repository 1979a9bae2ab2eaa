"""What `norms` claims about axes, counts and elements, held against torch in float64.

Each module normalises a random tensor; the same output is computed by hand from nothing but the claimed axes.
"""

from __future__ import annotations

from math import prod

import pytest
import torch
from torch import nn

from normfix import norms
from normfix.graph import Argument, Layer, Shape, Tensor, Undecided, Unknown

EPS = 1e-5


def layer(kind: str, **arguments: object) -> Layer:
    return Layer(kind, "norm", arguments={name: Argument(value) for name, value in arguments.items()})


def build(facts: Layer, **more: object) -> nn.Module:
    """The real module that these facts describe."""
    options = {name: argument.value for name, argument in facts.arguments.items()}
    kind = "BatchNorm2d" if facts.kind == "SyncBatchNorm" else facts.kind
    module: nn.Module = getattr(nn, kind)(**options, **more)
    return module.double()


def randomised(module: nn.Module) -> nn.Module:
    """In float64, with affine parameters and buffers that are far from their initial values."""
    generator = torch.Generator().manual_seed(0)
    module = module.double()
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_floating_point():
            fresh = torch.randn(tensor.shape, dtype=tensor.dtype, generator=generator)
            tensor.data.copy_(fresh.abs() + 0.5 if "var" in name else fresh)
    return module


def by_hand(
    x: torch.Tensor,
    axes: Shape,
    groups: int | None = None,
    batched: bool = True,
    centred: bool = True,
    eps: float = EPS,
) -> torch.Tensor:
    """Normalise over the claimed axes; a group norm's channels are split first, as its axis 1 is run over in part."""
    shape = x.shape
    if groups is not None:
        x = x.reshape(shape[0], groups, shape[1] // groups, *shape[2:])
        axes = tuple(range(2, x.ndim))
    mean = x.mean(axes, keepdim=True) if centred else torch.zeros((), dtype=x.dtype)
    square = (x - mean).square().mean(axes, keepdim=True)
    return ((x - mean) / (square + eps).sqrt()).reshape(shape)


PLAIN = {
    "BatchNorm1d on (N, C)": (layer("BatchNorm1d", num_features=3, affine=False), (6, 3)),
    "BatchNorm1d on (N, C, L)": (layer("BatchNorm1d", num_features=3, affine=False), (4, 3, 5)),
    "BatchNorm2d": (layer("BatchNorm2d", num_features=3, affine=False), (2, 3, 4, 5)),
    "BatchNorm3d": (layer("BatchNorm3d", num_features=3, affine=False), (2, 3, 2, 4, 5)),
    "BatchNorm2d, one image": (layer("BatchNorm2d", num_features=3, affine=False), (1, 3, 4, 5)),
    "SyncBatchNorm of one process": (layer("SyncBatchNorm", num_features=3, affine=False), (2, 3, 4, 5)),
    "InstanceNorm1d": (layer("InstanceNorm1d", num_features=3), (2, 3, 5)),
    "InstanceNorm1d, unbatched": (layer("InstanceNorm1d", num_features=3), (3, 5)),
    "InstanceNorm2d": (layer("InstanceNorm2d", num_features=3), (2, 3, 4, 5)),
    "InstanceNorm2d, unbatched": (layer("InstanceNorm2d", num_features=3), (3, 4, 5)),
    "InstanceNorm3d": (layer("InstanceNorm3d", num_features=3), (2, 3, 2, 4, 5)),
    "InstanceNorm3d, unbatched": (layer("InstanceNorm3d", num_features=3), (3, 2, 4, 5)),
    "InstanceNorm2d, tracked": (layer("InstanceNorm2d", num_features=3, track_running_stats=True), (2, 3, 4, 5)),
    "LayerNorm(D)": (layer("LayerNorm", normalized_shape=5), (2, 3, 5)),
    "LayerNorm([C, H, W])": (layer("LayerNorm", normalized_shape=[3, 4, 5]), (2, 3, 4, 5)),
    "LayerNorm of the whole tensor": (layer("LayerNorm", normalized_shape=(3, 5)), (3, 5)),
}


@pytest.mark.parametrize(("facts", "shape"), PLAIN.values(), ids=PLAIN)
def test_axes_count_and_elements(facts: Layer, shape: Shape) -> None:
    x = torch.randn(shape, dtype=torch.float64) * 3 + 1
    (claim,) = norms.statistics(facts, shape, training=True)
    torch.testing.assert_close(build(facts).train()(x), by_hand(x, claim.axes), rtol=1e-12, atol=1e-12)
    assert claim.elements == prod(shape[axis] for axis in claim.axes)
    assert claim.count * claim.elements == x.numel()


@pytest.mark.parametrize(
    ("groups", "shape"),
    [
        (groups, shape)
        for groups in (1, 2, 3, 6)
        for shape in ((4, 6), (2, 6, 5), (2, 6, 3, 4))
        if groups < 6 or len(shape) > 2  # one element per statistic: among the degenerate cases below
    ],
    ids=str,
)
def test_group_norm(groups: int, shape: Shape) -> None:
    x = torch.randn(shape, dtype=torch.float64) * 3 + 1
    (claim,) = norms.statistics(layer("GroupNorm", num_groups=groups, num_channels=6), shape, training=True)
    module = nn.GroupNorm(groups, 6, affine=False).double()
    torch.testing.assert_close(module(x), by_hand(x, claim.axes, groups), rtol=1e-12, atol=1e-12)
    assert claim.elements == 6 // groups * prod(shape[2:])
    assert claim.count * claim.elements == x.numel()


def test_rms_norm_subtracts_no_mean() -> None:
    x = torch.randn(2, 3, 5, dtype=torch.float64) + 1
    (claim,) = norms.statistics(layer("RMSNorm", normalized_shape=5), (2, 3, 5), training=True)
    module = nn.RMSNorm(5, eps=EPS, elementwise_affine=False)
    torch.testing.assert_close(module(x), by_hand(x, claim.axes, centred=False), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [1, 3, 4, 5])
def test_local_response_norm_divides_by_its_size_everywhere(size: int) -> None:
    x = torch.randn(2, 6, 3, 3, dtype=torch.float64)
    (claim,) = norms.statistics(layer("LocalResponseNorm", size=size), tuple(x.shape), training=True)
    window = torch.stack(
        [
            x[:, max(0, c - size // 2) : c + (size - 1) // 2 + 1].square().sum(1) / claim.elements
            for c in range(x.shape[1])
        ],
        dim=1,
    )
    expected = x / (2.0 + 0.5 * window) ** 0.75
    torch.testing.assert_close(nn.LocalResponseNorm(size, alpha=0.5, k=2.0)(x), expected, rtol=1e-12, atol=1e-12)
    assert claim.axes == (1,) and claim.count == x.numel()


def test_switch_norm_mixes_instance_layer_and_batch_statistics() -> None:
    """As the reference implementation composes them: each claim is one summand of the mixture."""
    shape = (2, 6, 4, 5)
    instance, whole, batch = norms.statistics(layer("SwitchNorm2d", num_features=6), shape, training=True)
    assert (instance.axes, instance.count, instance.elements) == ((2, 3), 12, 20)
    assert (whole.axes, whole.count, whole.elements) == ((1, 2, 3), 2, 120)
    assert (batch.axes, batch.count, batch.elements) == ((0, 2, 3), 6, 40)
    assert len(norms.statistics(layer("SwitchNorm2d", num_features=6), shape, training=False)) == 2
    assert len(norms.statistics(layer("SwitchNorm2d", num_features=6, using_bn=False), shape, training=True)) == 2
    assert len(norms.statistics(layer("SwitchNorm1d", num_features=6), (8, 6), training=True)) == 2


TIMM = [
    ("GroupNorm", layer("timm.GroupNorm", num_channels=6, num_groups=3), (2, 6, 4, 5), True),
    ("GroupNorm1", layer("timm.GroupNorm1", num_channels=6), (2, 6, 4, 5), True),
    ("GroupNormAct", layer("timm.GroupNormAct", num_channels=6, group_size=2), (2, 6, 4, 5), True),
    ("GroupNorm1Act", layer("timm.GroupNorm1Act", num_channels=6), (2, 6, 4, 5), True),
    ("LayerNorm", layer("timm.LayerNorm", num_channels=5), (2, 3, 5), True),
    ("LayerNormFp32", layer("timm.LayerNormFp32", num_channels=5), (2, 3, 5), True),
    ("LayerNormAct", layer("timm.LayerNormAct", normalization_shape=5), (2, 3, 5), True),
    ("LayerNorm2d", layer("timm.LayerNorm2d", num_channels=3), (2, 3, 4, 5), True),
    ("LayerNorm2dFp32", layer("timm.LayerNorm2dFp32", num_channels=3), (2, 3, 4, 5), True),
    ("LayerNormAct2d", layer("timm.LayerNormAct2d", num_channels=3), (2, 3, 4, 5), True),
    ("RmsNorm", layer("timm.RmsNorm", channels=5), (2, 3, 5), False),
    ("RmsNorm2d", layer("timm.RmsNorm2d", channels=3), (2, 3, 4, 5), False),
]


@pytest.mark.parametrize(("name", "facts", "shape", "centred"), TIMM, ids=[case[0] for case in TIMM])
def test_timm_norms(name: str, facts: Layer, shape: Shape, centred: bool) -> None:
    pytest.importorskip("timm_shim")
    layers = pytest.importorskip("timm.layers")
    options = {key: argument.value for key, argument in facts.arguments.items()}
    module = getattr(layers, name)(**options, **({"apply_act": False} if name.endswith(("Act", "Act2d")) else {}))
    x = torch.randn(shape, dtype=torch.float64) * 3 + 1
    (claim,) = norms.statistics(facts, shape, training=True)
    eps = 1e-6 if name in ("LayerNorm", "LayerNormFp32", "LayerNorm2d", "LayerNorm2dFp32") or not centred else EPS
    groups = norms.groups(facts) if facts.kind in norms.GROUP else None
    precise = 1e-5 if "Fp32" in name else 1e-10
    expected = by_hand(x, claim.axes, groups, centred=centred, eps=eps)
    torch.testing.assert_close(module.double()(x), expected, rtol=precise, atol=precise)
    assert claim.count * claim.elements == x.numel()


@pytest.mark.parametrize(
    "facts",
    [layer("BatchNorm2d", num_features=3), layer("InstanceNorm2d", num_features=3, track_running_stats=True)],
    ids=["BatchNorm2d", "tracked InstanceNorm2d"],
)
def test_stored_statistics_leave_each_sample_alone_in_eval(facts: Layer) -> None:
    real = randomised(build(facts)).eval()
    x = torch.randn(4, 3, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(real(x)[:1], real(x[:1]), rtol=0, atol=1e-12)
    assert norms.statistics(facts, (4, 3, 5, 5), training=False) == ()


def test_batch_norm_without_buffers_uses_the_batch_in_eval_too() -> None:
    real = nn.BatchNorm2d(3, track_running_stats=False, affine=False).double().eval()
    x = torch.randn(4, 3, 5, 5, dtype=torch.float64) + 2
    facts = layer("BatchNorm2d", num_features=3, track_running_stats=False)
    (claim,) = norms.statistics(facts, tuple(x.shape), training=False)
    torch.testing.assert_close(real(x), by_hand(x, claim.axes), rtol=1e-12, atol=1e-12)


def test_buffers_decide_and_not_the_attribute_flipped_later() -> None:
    """`bn.track_running_stats = False` after construction: eval still reads the buffers."""
    real = randomised(nn.BatchNorm2d(3)).eval()
    x = torch.randn(4, 3, 5, 5, dtype=torch.float64)
    before = real(x)
    real.track_running_stats = False
    torch.testing.assert_close(real(x), before, rtol=0, atol=0)
    facts = layer("BatchNorm2d", num_features=3, track_running_stats=False)
    facts.state = {"running_mean": Tensor((3,), "float64", "cpu", lambda: [0.0] * 3)}
    assert norms.uses_input_statistics(facts, training=False) is False
    assert norms.updates_statistics(facts) is False


def test_instance_norm_follows_the_attribute_and_not_the_buffers() -> None:
    real = randomised(nn.InstanceNorm2d(3, track_running_stats=True)).eval()
    x = torch.randn(4, 3, 5, 5, dtype=torch.float64) + 2
    real.track_running_stats = False
    facts = layer("InstanceNorm2d", num_features=3, track_running_stats=False)
    facts.state = {"running_mean": Tensor((3,), "float64", "cpu", lambda: [0.0] * 3)}
    (claim,) = norms.statistics(facts, tuple(x.shape), training=False)
    torch.testing.assert_close(real(x), by_hand(x, claim.axes), rtol=1e-12, atol=1e-12)


BIASES = {
    "BatchNorm2d": (layer("BatchNorm2d", num_features=6), (4, 6, 3, 3)),
    "BatchNorm2d without buffers": (layer("BatchNorm2d", num_features=6, track_running_stats=False), (4, 6, 3, 3)),
    "BatchNorm1d on (N, C, L)": (layer("BatchNorm1d", num_features=6), (4, 6, 3)),
    "InstanceNorm2d": (layer("InstanceNorm2d", num_features=6), (4, 6, 3, 3)),
    "InstanceNorm2d, tracked": (layer("InstanceNorm2d", num_features=6, track_running_stats=True), (4, 6, 3, 3)),
    "GroupNorm, a group per channel": (layer("GroupNorm", num_groups=6, num_channels=6), (4, 6, 3, 3)),
    "GroupNorm, two channels a group": (layer("GroupNorm", num_groups=3, num_channels=6), (4, 6, 3, 3)),
    "LayerNorm over W": (layer("LayerNorm", normalized_shape=3), (4, 6, 3, 3)),
    "LayerNorm over everything": (layer("LayerNorm", normalized_shape=[6, 3, 3]), (4, 6, 3, 3)),
    "RMSNorm": (layer("RMSNorm", normalized_shape=[6, 3, 3], eps=EPS), (4, 6, 3, 3)),
    "LocalResponseNorm": (layer("LocalResponseNorm", size=3), (4, 6, 3, 3)),
}


@pytest.mark.parametrize(("facts", "shape"), BIASES.values(), ids=BIASES)
def test_a_bias_is_cancelled_where_it_is_claimed(facts: Layer, shape: Shape) -> None:
    """In train mode, a constant per channel added to the input changes the output, or it does not.

    `LayerNorm over W` cancels one by coincidence of its axis; claiming less is allowed, claiming more is not.
    """
    real = randomised(build(facts)).train()
    x = torch.randn(shape, dtype=torch.float64)
    bias = torch.arange(1.0, 7.0, dtype=torch.float64).reshape(1, 6, *[1] * (len(shape) - 2))
    same = torch.allclose(real(x + bias), real(x), rtol=0, atol=1e-9)
    assert same or not norms.cancels_bias(facts)
    assert norms.cancels_bias(facts) == (same and facts.kind != "LayerNorm")


@pytest.mark.parametrize("kind", ["torchvision.FrozenBatchNorm2d", "timm.FrozenBatchNormAct2d"])
def test_a_frozen_norm_keeps_the_bias(kind: str) -> None:
    assert norms.cancels_bias(layer(kind, num_features=6)) is False
    assert norms.statistics(layer(kind, num_features=6), (2, 6, 4, 4), training=True) == ()


def test_functional_batch_norm_with_an_unread_flag_is_undecided() -> None:
    with pytest.raises(Undecided, match="training"):
        norms.cancels_bias(layer("batch_norm", training=Unknown("it is an expression")))


def test_functional_batch_norm_is_in_eval_unless_told() -> None:
    assert norms.cancels_bias(layer("batch_norm", running_mean=Unknown("a tensor"))) is False


@pytest.mark.parametrize(
    ("facts", "moves"),
    [
        (layer("BatchNorm2d", num_features=3), True),
        (layer("BatchNorm2d", num_features=3, track_running_stats=False), False),
        (layer("InstanceNorm2d", num_features=3), False),
        (layer("InstanceNorm2d", num_features=3, track_running_stats=True), True),
        (layer("LayerNorm", normalized_shape=3), False),
        (layer("GroupNorm", num_groups=3, num_channels=3), False),
        (layer("batch_norm", running_mean=Unknown("a tensor"), training=True), True),
        (layer("batch_norm", running_mean=Unknown("a tensor"), training=False), False),
        (layer("batch_norm", running_mean=None, training=True), False),
        (layer("instance_norm"), False),
        (layer("instance_norm", running_mean=Unknown("a tensor")), True),
        (layer("instance_norm", running_mean=Unknown("a tensor"), use_input_stats=False), False),
        (layer("SwitchNorm2d", num_features=3), True),
        (layer("SwitchNorm2d", num_features=3, using_bn=False), False),
    ],
    ids=lambda value: f"{value.kind} {dict.fromkeys(value.arguments)}" if isinstance(value, Layer) else str(value),
)
def test_who_moves_its_buffers(facts: Layer, moves: bool) -> None:
    assert norms.updates_statistics(facts) is moves


@pytest.mark.parametrize(
    ("facts", "shape", "word"),
    [
        (layer("LayerNorm", normalized_shape=6), (2, 6, 4), "last sizes"),
        (layer("GroupNorm", num_groups=4, num_channels=6), (2, 6, 4), "divide"),
        (layer("GroupNorm", num_groups=0, num_channels=6), (2, 6, 4), "divide"),
        (layer("LocalResponseNorm", size=5), (2, 6), "dimensions"),
        (layer("BatchNorm1d", num_features=6), (6,), "dimensions"),
        (layer("Conv2d"), (2, 6, 4, 4), "not a normalization"),
        (layer("LayerNorm", normalized_shape="C"), (2, 6), "not sizes"),
        (layer("LayerNorm", normalized_shape=True), (2, 1), "not sizes"),
    ],
    ids=["trailing sizes differ", "groups do not divide", "no groups", "too few dimensions", "no batch", "no norm",
         "a string for sizes", "a bool for sizes"],
)  # fmt: skip
def test_what_does_not_fit_is_undecided(facts: Layer, shape: Shape, word: str) -> None:
    with pytest.raises(Undecided, match=word):
        norms.statistics(facts, shape, training=True)


def test_the_width_of_a_lazy_norm_is_undecided() -> None:
    with pytest.raises(Undecided, match="lazy"):
        norms.channels(layer("LazyBatchNorm2d"))


class TestDegenerate:
    """Few elements behind a statistic: what torch does, and that `statistics` counts them."""

    def test_one_element_leaves_only_the_shift_of_a_group_norm(self) -> None:
        real = randomised(nn.GroupNorm(4, 4))
        (claim,) = norms.statistics(layer("GroupNorm", num_groups=4, num_channels=4), (3, 4, 1, 1), training=True)
        output = real(torch.randn(3, 4, 1, 1, dtype=torch.float64))
        assert claim.elements == 1
        torch.testing.assert_close(output, real.bias.reshape(1, 4, 1, 1).expand_as(output), rtol=0, atol=1e-12)

    def test_one_element_leaves_only_the_shift_of_a_layer_norm(self) -> None:
        real = randomised(nn.LayerNorm(1))
        (claim,) = norms.statistics(layer("LayerNorm", normalized_shape=1), (3, 4, 1), training=True)
        output = real(torch.randn(3, 4, 1, dtype=torch.float64))
        assert claim.elements == 1
        torch.testing.assert_close(output, real.bias.expand_as(output), rtol=0, atol=1e-12)

    def test_one_element_leaves_only_the_sign_of_an_rms_norm(self) -> None:
        real = nn.RMSNorm(1, elementwise_affine=False, eps=0.0)
        output = real(torch.tensor([[3.0], [-2.0]], dtype=torch.float64))
        torch.testing.assert_close(output, torch.tensor([[1.0], [-1.0]], dtype=torch.float64))

    def test_batch_norm_of_one_element_raises_in_training(self) -> None:
        (claim,) = norms.statistics(layer("BatchNorm2d", num_features=4), (1, 4, 1, 1), training=True)
        assert claim.elements == 1
        with pytest.raises(ValueError, match="more than 1 value"):
            nn.BatchNorm2d(4).train()(torch.randn(1, 4, 1, 1))

    def test_instance_norm_of_one_element_raises(self) -> None:
        (claim,) = norms.statistics(layer("InstanceNorm2d", num_features=4), (8, 4, 1, 1), training=True)
        assert claim.elements == 1
        with pytest.raises(ValueError, match="more than 1 spatial"):
            nn.InstanceNorm2d(4)(torch.randn(8, 4, 1, 1))

    @pytest.mark.parametrize(
        ("facts", "shape"),
        [
            (layer("BatchNorm1d", num_features=3), (2, 3)),
            (layer("LayerNorm", normalized_shape=2), (5, 2)),
            (layer("GroupNorm", num_groups=3, num_channels=6), (5, 6)),
            (layer("InstanceNorm1d", num_features=3), (4, 3, 2)),
        ],
        ids=["BatchNorm1d", "LayerNorm", "GroupNorm", "InstanceNorm1d"],
    )
    def test_two_elements_leave_only_a_sign(self, facts: Layer, shape: Shape) -> None:
        (claim,) = norms.statistics(facts, shape, training=True)
        assert claim.elements == 2
        output = build(facts).train()(torch.randn(shape, dtype=torch.float64) * 100)
        torch.testing.assert_close(output.abs(), torch.ones_like(output), rtol=0, atol=1e-2)
