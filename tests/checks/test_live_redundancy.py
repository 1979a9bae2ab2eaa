"""NF302-NF307 and NF505 on live models with random statistics: what is no waste comes first."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from normfix.checking.run import check


def randomised(model: nn.Module) -> nn.Module:
    """Statistics and scales that no initialiser gives, negative scales too."""
    generator = torch.Generator().manual_seed(5)
    for name, values in [*model.named_buffers(), *model.named_parameters()]:
        if values.is_floating_point():
            fresh = torch.randn(values.shape, generator=generator)
            values.data.copy_(fresh.abs() + 0.5 if "var" in name else fresh)
    return model


class Shared(nn.Module):
    """One norm at two places: behind one layer or two, in parallel or in a row."""

    def __init__(self, layers: int, recurrent: bool, norm: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, 6, bias=False) for _ in range(layers))
        self.norm, self.recurrent = norm, recurrent

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        first = self.norm(self.layers[0](x))
        return self.norm(self.layers[-1](first if self.recurrent else y)) + first


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x)
        return y + self.second(y)


class Both(nn.Module):
    """A convolution whose output has a second reader."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return y + self.norm(y)


IMAGES = (torch.randn(8, 4, 6, 6),)
ROWS = (torch.randn(8, 6), torch.randn(8, 6))
CONV = nn.Conv2d(4, 4, 1, bias=False)

SILENT: dict[str, tuple[nn.Module, tuple[torch.Tensor, ...], str]] = {
    "different axes": (nn.Sequential(nn.BatchNorm2d(4), nn.LayerNorm(6)), IMAGES, "training"),
    "a learned layer norm before another": (nn.Sequential(nn.LayerNorm(6), nn.LayerNorm(6)), IMAGES, "training"),
    "a residual path reads the first norm": (Residual(), IMAGES, "training"),
    "the second norm is frozen": (nn.Sequential(nn.BatchNorm2d(4), nn.BatchNorm2d(4).eval()), IMAGES, "training"),
    "dropout behind the norm": (nn.Sequential(nn.BatchNorm2d(4), nn.Dropout(0.5)), IMAGES, "training"),
    "a convolution behind the dropout": (nn.Sequential(nn.Dropout(0.5), CONV, nn.BatchNorm2d(4)), IMAGES, "training"),
    "dropout before a group norm": (nn.Sequential(nn.Dropout(0.5), nn.GroupNorm(2, 4)), IMAGES, "training"),
    "a siamese block": (Shared(1, False, nn.BatchNorm1d(6)), ROWS, "training"),
    "a shared layer norm": (Shared(2, False, nn.LayerNorm(6)), ROWS, "training"),
    "a shared norm without buffers": (Shared(2, False, nn.BatchNorm1d(6, track_running_stats=False)), ROWS, "training"),
    "weight norm before several channels a group": (
        nn.Sequential(weight_norm(nn.Conv2d(4, 4, 1)), nn.GroupNorm(2, 4)),
        IMAGES,
        "training",
    ),
    "spectral norm before several channels a group, and a bias that is not scaled": (
        nn.Sequential(spectral_norm(nn.Conv2d(4, 4, 1)), nn.GroupNorm(2, 4)).eval(),
        IMAGES,
        "training",
    ),
    "weight norm along the channels that come in": (
        nn.Sequential(weight_norm(nn.ConvTranspose2d(4, 4, 1)), nn.BatchNorm2d(4)),
        IMAGES,
        "training",
    ),
    "spectral norm without a norm behind it": (
        nn.Sequential(spectral_norm(nn.Conv2d(4, 4, 1)), nn.ReLU()),
        IMAGES,
        "training",
    ),
    "foldable, for training": (nn.Sequential(CONV, nn.BatchNorm2d(4)), IMAGES, "training"),
    "an activation before the norm": (nn.Sequential(CONV, nn.ReLU(), nn.BatchNorm2d(4)).eval(), IMAGES, "inference"),
    "a second reader of the convolution": (Both().eval(), IMAGES, "inference"),
    "linear on positions": (
        nn.Sequential(nn.Linear(6, 6, bias=False), nn.BatchNorm1d(4)).eval(),
        (torch.randn(8, 4, 6),),
        "inference",
    ),
    "no buffers to fold": (
        nn.Sequential(CONV, nn.BatchNorm2d(4, track_running_stats=False)).eval(),
        IMAGES,
        "inference",
    ),
}


@pytest.mark.parametrize(("model", "inputs", "purpose"), SILENT.values(), ids=SILENT)
def test_silent(model: nn.Module, inputs: tuple[torch.Tensor, ...], purpose: str) -> None:
    report = check(randomised(model), inputs, purpose=purpose, select=["NF30", "NF505"])
    assert [(one.code, one.module) for one in report.findings if one.code != "NF301"] == []


FOUND: dict[str, tuple[nn.Module, tuple[torch.Tensor, ...], str, list[tuple[str, str, str]]]] = {
    "two batch norms": (
        nn.Sequential(nn.BatchNorm2d(4), nn.BatchNorm2d(4)),
        IMAGES,
        "training",
        [("NF302", "1", "warning")],
    ),
    "strong dropout": (
        nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(4)),
        IMAGES,
        "training",
        [("NF303", "0", "warning")],
    ),
    "weak dropout": (nn.Sequential(nn.Dropout(0.1), nn.BatchNorm2d(4)), IMAGES, "training", [("NF303", "0", "info")]),
    "dropout and an activation": (
        nn.Sequential(nn.Dropout(0.5), nn.Tanh(), nn.BatchNorm2d(4)),
        IMAGES,
        "training",
        [("NF303", "0", "info")],
    ),
    "weight norm": (
        nn.Sequential(weight_norm(nn.Conv2d(4, 4, 1, bias=False)), nn.BatchNorm2d(4)),
        IMAGES,
        "training",
        [("NF305", "0", "info")],
    ),
    "weight norm along the channels that come out": (
        nn.Sequential(weight_norm(nn.ConvTranspose2d(4, 4, 1, bias=False), dim=1), nn.BatchNorm2d(4)),
        IMAGES,
        "training",
        [("NF305", "0", "info")],
    ),
    "spectral norm before several channels a group": (
        nn.Sequential(spectral_norm(nn.Conv2d(4, 4, 1, bias=False)), nn.GroupNorm(2, 4)).eval(),
        IMAGES,
        "training",
        [("NF305", "0", "info")],
    ),
    "two layers share a norm": (
        Shared(2, False, nn.BatchNorm1d(6)),
        ROWS,
        "training",
        [("NF505", "norm", "warning")],
    ),
    "a recurrent norm": (Shared(1, True, nn.BatchNorm1d(6)), ROWS, "training", [("NF505", "norm", "warning")]),
    "a transposed convolution": (
        nn.Sequential(nn.ConvTranspose2d(4, 4, 2, groups=2, bias=False), nn.BatchNorm2d(4)).eval(),
        IMAGES,
        "inference",
        [("NF306", "1", "info")],
    ),
    "a linear layer on rows": (
        nn.Sequential(nn.Linear(6, 4, bias=False), nn.BatchNorm1d(4)).eval(),
        (ROWS[0],),
        "inference",
        [("NF306", "1", "info")],
    ),
}


@pytest.mark.parametrize(("model", "inputs", "purpose", "expected"), FOUND.values(), ids=FOUND)
def test_found(
    model: nn.Module, inputs: tuple[torch.Tensor, ...], purpose: str, expected: list[tuple[str, str, str]]
) -> None:
    report = check(randomised(model), inputs, purpose=purpose, select=["NF30", "NF505"])
    assert [(one.code, one.module, str(one.severity)) for one in report.findings] == expected


def test_the_scale_and_shift_of_the_first_of_two_norms_are_lost() -> None:
    """The claim of NF302, in float64 and up to eps: only the sign of the first scale is left."""
    model = randomised(nn.Sequential(nn.BatchNorm2d(4, eps=1e-12), nn.BatchNorm2d(4, eps=1e-12))).double().train()
    x = IMAGES[0].double()
    before = model(x)
    with torch.no_grad():
        model[0].weight.mul_(3)  # type: ignore[index,union-attr,operator]
        model[0].bias.add_(7)  # type: ignore[index,union-attr,operator]
    torch.testing.assert_close(model(x), before, rtol=0, atol=1e-8)


def test_weight_norm_before_a_norm_has_no_effect_in_training() -> None:
    """The claim of NF305: the learned length of each filter cancels."""
    model = randomised(FOUND["weight norm"][0]).double().train()
    x = IMAGES[0].double()
    with torch.no_grad():
        length = model[0].parametrizations.weight.original0  # type: ignore[index,union-attr]
        length.abs_().add_(5)  # type: ignore[union-attr,operator]
        before = model(x)
        length.mul_(4)  # type: ignore[union-attr,operator]
        torch.testing.assert_close(model(x), before, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("layer", "scale", "norm", "cancelled"),
    [
        pytest.param(nn.Conv2d(4, 4, 3), (4, 1, 1, 1), nn.BatchNorm2d(4), True, id="filters"),
        pytest.param(nn.ConvTranspose2d(4, 4, 3), (1, 4, 1, 1), nn.BatchNorm2d(4), True, id="channels that come out"),
        pytest.param(nn.ConvTranspose2d(4, 4, 3), (4, 1, 1, 1), nn.BatchNorm2d(4), False, id="channels that come in"),
        pytest.param(nn.Conv2d(4, 4, 3, bias=False), (), nn.GroupNorm(2, 4), True, id="groups without a bias"),
        pytest.param(nn.Conv2d(4, 4, 3), (), nn.GroupNorm(2, 4), False, id="groups and a bias"),
        pytest.param(nn.Conv2d(4, 4, 3), (), nn.LayerNorm([4, 4, 4]), False, id="a layer norm and a bias"),
        pytest.param(nn.Conv2d(4, 4, 3), (), nn.GroupNorm(4, 4), True, id="groups of one channel and a bias"),
    ],
)
def test_which_scales_of_a_weight_a_norm_cancels(
    layer: nn.Module, scale: tuple[int, ...], norm: nn.Module, cancelled: bool
) -> None:
    """The claim of NF305, in float64 and up to eps; a bias beside the weight is not scaled."""
    norm.eps = 1e-14  # type: ignore[assignment]
    model = randomised(nn.Sequential(layer, norm)).double().train()
    x = IMAGES[0].double()
    before = model(x)
    with torch.no_grad():
        layer.weight.mul_(torch.rand(scale, generator=torch.Generator().manual_seed(1)) * 5 + 3)  # type: ignore[union-attr,operator]
    assert torch.allclose(model(x), before, rtol=0, atol=1e-8) is cancelled
