"""NF201-NF207 and NF501 on live models: what fits comes first."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from normfix.checking.run import check

Case = tuple[nn.Module, tuple[int, ...], dict[str, object]]


class Standardised(nn.Conv2d):
    """A convolution whose weights are normalised with the batch norm function, as timm's StdConv2d."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = nn.functional.batch_norm(
            self.weight.reshape(1, self.out_channels, -1), None, None, training=True, momentum=0.0
        ).reshape_as(self.weight)
        return self._conv_forward(x, weight, self.bias)


class Positions(nn.Module):
    """A layer norm over a stored table, which has no batch axis."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(4, 8))
        self.norm = nn.LayerNorm([4, 8])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.norm(self.table)


def eval_only(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers).eval()


SILENT: dict[str, Case] = {
    "one sample of many positions": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), (1, 3, 9, 9), {}),
    "pooled, batch norm in eval": (
        eval_only(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3)),
        (1, 3, 9, 9),
        {"purpose": "inference"},
    ),
    "pooled, in a large batch": (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3)), (16, 3, 9, 9), {}),
    "tracked instance norm in eval": (
        eval_only(nn.AdaptiveAvgPool2d(1), nn.InstanceNorm2d(3, track_running_stats=True)),
        (2, 3, 9, 9),
        {"purpose": "inference"},
    ),
    "weights of one input each": (nn.Sequential(Standardised(1, 4, 1), nn.ReLU()), (2, 1, 9, 9), {}),
    "local response norm of a small window": (nn.Sequential(nn.LocalResponseNorm(3)), (2, 4, 9, 9), {}),
    "RMS norm over few features": (nn.Sequential(nn.RMSNorm(4, eps=1e-6)), (2, 4), {}),
    "unbatched images, all axes": (nn.Sequential(nn.ReLU(), nn.LayerNorm([3, 9, 9])), (3, 9, 9), {}),
    "a stored table, all axes": (Positions(), (4, 8), {"batch_size": 4}),
    "layer norm over the width on purpose": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.LayerNorm(10)), (2, 3, 12, 12), {}),
    "layer norm over tokens": (nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8)), (8, 8, 6), {}),
    "sequences of convolutions": (nn.Sequential(nn.Conv1d(3, 8, 3), nn.BatchNorm1d(8)), (16, 3, 10), {}),
    "rows": (nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8)), (16, 3), {}),
    "unbatched instance norm": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4)), (3, 9, 9), {}),
    "a batch of nine for training": (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)),
        (9, 3, 9, 9),
        {"purpose": "training"},
    ),
    "a small example, no purpose": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), (2, 3, 9, 9), {}),
    "a small example, for inference": (
        eval_only(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)),
        (1, 3, 9, 9),
        {"purpose": "inference"},
    ),
    "a declared batch beats a small example": (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)),
        (1, 3, 9, 9),
        {"purpose": "training", "batch_size": 32},
    ),
    "a small batch for group norm": (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)),
        (1, 3, 9, 9),
        {"purpose": "training"},
    ),
    "a small batch on many devices": (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.SyncBatchNorm(4)).eval(),
        (2, 3, 9, 9),
        {"purpose": "training", "world_size": 8},
    ),
}


@pytest.mark.parametrize(("model", "shape", "plan"), SILENT.values(), ids=SILENT)
def test_silent(model: nn.Module, shape: tuple[int, ...], plan: dict[str, object]) -> None:
    report = check(model, torch.randn(shape), select=["NF2", "NF501"], **plan)  # type: ignore[arg-type]
    assert [(one.code, one.module, one.message) for one in report.findings] == []


FOUND: dict[str, tuple[Case, str, str]] = {
    "channels and width are equally long": (
        (nn.Sequential(nn.Conv2d(3, 10, 3), nn.GELU(), nn.LayerNorm(10)), (2, 3, 12, 12), {}),
        "NF201",
        "error",
    ),
    "all axes of a batch": (
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.LayerNorm([2, 4, 7, 7])), (2, 3, 9, 9), {}),
        "NF201",
        "error",
    ),
    "an instance norm of another width": (
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(8)), (2, 3, 9, 9), {}),
        "NF202",
        "error",
    ),
    "one position": ((nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.GroupNorm(3, 3)), (2, 3, 9, 9), {}), "NF203", "error"),
    "one sample, pooled": (
        (
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3)),
            (4, 3, 9, 9),
            {"batch_size": 1, "purpose": "training"},
        ),
        "NF203",
        "error",
    ),
    "a single feature": ((nn.Sequential(nn.Linear(4, 1), nn.LayerNorm(1)), (4, 4), {}), "NF203", "error"),
    "two channels a group, pooled": (
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.GroupNorm(2, 4)), (2, 4, 9, 9), {}),
        "NF204",
        "warning",
    ),
    "four positions": (
        (nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.InstanceNorm2d(4)), (2, 4, 9, 9), {}),
        "NF204",
        "info",
    ),
    "sequences as long as the layer is wide": (
        (nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8)), (16, 8, 3), {}),
        "NF205",
        "error",
    ),
    "channels and positions": (
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.LayerNorm([4, 7, 7])), (2, 3, 9, 9), {}),
        "NF206",
        "info",
    ),
    "sequences taken for images": (
        (nn.Sequential(nn.Conv1d(3, 8, 3), nn.InstanceNorm2d(16)), (16, 3, 10), {}),
        "NF207",
        "error",
    ),
    "two samples for training": (
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), (2, 3, 9, 9), {"purpose": "training"}),
        "NF501",
        "warning",
    ),
    "eight samples, declared": (
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), (64, 3, 9, 9), {"batch_size": 8}),
        "NF501",
        "info",
    ),
}


@pytest.mark.parametrize(("case", "code", "severity"), FOUND.values(), ids=FOUND)
def test_found(case: Case, code: str, severity: str) -> None:
    model, shape, plan = case
    report = check(model, torch.randn(shape), select=["NF2", "NF501"], **plan)  # type: ignore[arg-type]
    assert (code, severity) in [(one.code, str(one.severity)) for one in report.findings]
    assert {one.code for one in report.findings} <= {code, "NF204" if code == "NF203" else code, "NF501"}


def test_message_quotes_the_measured_error() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    (finding,) = check(model, torch.randn(2, 3, 9, 9), purpose="training", select=["NF501"]).findings
    assert "34.7 %" in finding.message and "23.6 %" in finding.message


def test_tiny_batch_is_said_once_for_all_norms() -> None:
    blocks = [nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)) for _ in range(5)]
    (finding,) = check(nn.Sequential(*blocks), torch.randn(2, 3, 9, 9), purpose="training", select=["NF501"]).findings
    assert finding.module == "0.1" and "4 other batch norms" in finding.message
    assert [site.module for _, site in finding.related] == ["1.1", "2.1", "3.1"]


def test_one_frozen_norm_does_not_count() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3))
    model[1].eval()
    (finding,) = check(model, torch.randn(2, 3, 9, 9), purpose="training", select=["NF501"]).findings
    assert finding.module == "3"
