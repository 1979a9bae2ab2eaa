"""NF701-NF706 on live models and on checkpoints: what may stand in a norm, then what may not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from networks import chain, found, layer, tensor
from torch import nn

from normfix.checking.run import check, check_file
from normfix.graph import Layer, LayerGraph, Tensor, Undecided

INPUT = torch.randn(8, 3, 6, 6)


def trained(norm: nn.Module | None = None) -> nn.Sequential:
    """A network whose norm holds statistics that no initialiser gives."""
    generator = torch.Generator().manual_seed(3)
    norm = nn.BatchNorm2d(4) if norm is None else norm
    for name, values in [*norm.named_parameters(), *norm.named_buffers()]:
        if values.is_floating_point():
            values.data.copy_(torch.randn(values.shape, generator=generator).abs() + 0.5)
            if name in ("bias", "running_mean"):
                values.data.mul_(-1)
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), norm, nn.ReLU()).eval()


def codes(model: nn.Module, purpose: str | None = None, x: torch.Tensor = INPUT) -> list[tuple[str, str]]:
    report = check(model, x, purpose=purpose, select=["NF7"])
    assert all(finding.module == "1" for finding in report.findings)
    return [(finding.code, str(finding.severity)) for finding in report.findings]


@pytest.mark.parametrize("purpose", [None, "training", "inference"])
@pytest.mark.parametrize(
    "norm",
    [
        lambda: nn.BatchNorm2d(4),
        lambda: nn.BatchNorm2d(4, affine=False),
        lambda: nn.BatchNorm2d(4, track_running_stats=False),
        lambda: nn.InstanceNorm2d(4, track_running_stats=True),
        lambda: nn.GroupNorm(2, 4),
        lambda: nn.SyncBatchNorm(4),
    ],
    ids=["batch norm", "no scale", "no buffers", "tracked instance norm", "group norm", "synchronised"],
)
def test_a_trained_norm_is_fine(norm: Callable[[], nn.Module], purpose: str | None) -> None:
    assert codes(trained(norm()), purpose) == []


def changed(change: Callable[[nn.Module], object]) -> nn.Module:
    model = trained()
    with torch.no_grad():
        change(model[1])
    return model


SILENT: dict[str, tuple[Callable[[nn.Module], object], str | None]] = {
    "no batch was counted, as in converted weights": (lambda norm: norm.num_batches_tracked.zero_(), "inference"),
    "one mean was moved": (lambda norm: (norm.reset_running_stats(), norm.running_mean[0].fill_(0.1)), "inference"),
    "one variance was moved": (lambda norm: (norm.reset_running_stats(), norm.running_var[0].fill_(0.9)), "inference"),
    "fresh, and about to be trained": (lambda norm: norm.reset_parameters(), "training"),
    "fresh, for no declared purpose": (lambda norm: norm.reset_parameters(), None),
    "fresh, its scale at zero as at the end of a residual block": (
        lambda norm: (norm.reset_parameters(), norm.weight.zero_()),
        None,
    ),
    "fresh, its scale drawn at random": (lambda norm: (norm.reset_parameters(), norm.weight.normal_(1, 0.02)), None),
    "a variance of zero whose scale is small too": (
        lambda norm: (norm.running_var[0].zero_(), norm.weight[0].fill_(1e-3)),
        "inference",
    ),
    "all scales are large": (lambda norm: norm.running_var.fill_(1e-8), "inference"),
}


@pytest.mark.parametrize(("change", "purpose"), SILENT.values(), ids=SILENT)
def test_silent(change: Callable[[nn.Module], object], purpose: str | None) -> None:
    assert codes(changed(change), purpose) == []


FOUND: dict[str, tuple[Callable[[nn.Module], object], str | None, list[tuple[str, str]]]] = {
    "a NaN in the mean": (lambda norm: norm.running_mean[1].fill_(float("nan")), None, [("NF701", "error")]),
    "an Inf in the variance": (lambda norm: norm.running_var[1].fill_(float("inf")), None, [("NF701", "error")]),
    "a NaN in the scale": (lambda norm: norm.weight[1].fill_(float("nan")), None, [("NF701", "error")]),
    "a negative variance": (lambda norm: norm.running_var[1].fill_(-0.5), None, [("NF702", "error")]),
    "a tiny negative variance": (lambda norm: norm.running_var[1].fill_(-1e-9), "training", [("NF702", "error")]),
    "fresh, for inference": (lambda norm: norm.reset_parameters(), "inference", [("NF703", "warning")]),
    "statistics lost, shift trained": (lambda norm: norm.reset_running_stats(), None, [("NF703", "error")]),
    "statistics lost, for inference": (lambda norm: norm.reset_running_stats(), "inference", [("NF703", "error")]),
    "a dead channel": (lambda norm: norm.running_var[1].fill_(0.0), "inference", [("NF705", "info")]),
}


@pytest.mark.parametrize(("change", "purpose", "expected"), FOUND.values(), ids=FOUND)
def test_found(change: Callable[[nn.Module], object], purpose: str | None, expected: list[tuple[str, str]]) -> None:
    assert codes(changed(change), purpose) == expected


@pytest.mark.parametrize("change", [case[0] for case in FOUND.values()], ids=FOUND)
def test_a_checkpoint_shows_what_the_model_shows(change: Callable[[nn.Module], object], tmp_path: Path) -> None:
    """In a checkpoint the purpose is inference: its statistics are what it was saved for."""
    model = changed(change)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    report = check_file(str(tmp_path / "model.pt"), select=["NF7"])
    assert [(one.code, str(one.severity)) for one in report.findings] == codes(model, "inference")


@pytest.mark.parametrize(
    ("purpose", "training", "severity"),
    [
        ("training", True, "error"),
        ("training", False, "warning"),
        ("inference", True, "warning"),
        (None, True, "warning"),
    ],
    ids=["trains", "is frozen", "for inference", "no purpose"],
)
def test_half_precision(purpose: str | None, training: bool, severity: str) -> None:
    model = trained().bfloat16().train(training)
    assert ("NF704", severity) in codes(model, purpose, INPUT.bfloat16())


def test_half_precision_weights_beside_float32_buffers_are_fine() -> None:
    model = trained().bfloat16()
    model[1].float()
    assert codes(model, "training", INPUT.bfloat16()) == []


def test_tensors_without_values_are_undecided() -> None:
    def no_values() -> list[float]:
        raise Undecided("it is on the meta device")

    norm = layer("BatchNorm2d", "norm")
    norm.state = {name: Tensor((4,), "float32", "meta", no_values) for name in ("running_mean", "running_var")}
    for code in ("NF701", "NF702", "NF703", "NF705"):
        assert found(code, chain(norm), purpose="inference") == []


def test_scale_beyond_float16_is_found_though_all_channels_share_it() -> None:
    norm = layer("BatchNorm2d", "norm", eps=1e-12)
    norm.state = {"running_mean": tensor(0.5, 0.2), "running_var": tensor(0.0, 0.0), "weight": tensor(1.0, 1.0)}
    assert found("NF705", chain(norm)) == [("norm", "info")]


def checkpoint(**names: tuple[str, ...]) -> LayerGraph:
    """A checkpoint of norms that hold these tensors."""
    layers = []
    for name, keys in names.items():
        one = Layer("BatchNorm2d", name.replace("_", "."), layer("BatchNorm2d", name.replace("_", ".")).site)
        one.state = {key: tensor(0.5, 0.25) for key in keys}
        layers.append(one)
    return LayerGraph("checkpoint", layers)


WHOLE = ("weight", "bias", "running_mean", "running_var")


@pytest.mark.parametrize(
    "graph",
    [
        checkpoint(layer_0_bn=WHOLE, layer_1_bn=WHOLE),
        checkpoint(layer_0_norm=("weight", "bias"), layer_1_norm=("weight", "bias")),
        checkpoint(layer_0_bn=WHOLE, layer_1_norm=("weight", "bias")),
    ],
    ids=["all have them", "none has them", "the other is of another name"],
)
def test_no_statistics_are_missing(graph: LayerGraph) -> None:
    assert found("NF706", graph, "state") == []


def test_statistics_that_siblings_have_are_missing() -> None:
    graph = checkpoint(layer_0_bn=WHOLE, layer_1_bn=("weight", "bias"), layer_2_bn=WHOLE)
    assert found("NF706", graph, "state") == [("layer.1.bn", "warning")]


def test_missing_statistics_are_found_in_a_file(tmp_path: Path) -> None:
    model = nn.Sequential(
        *(nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), trained(nn.BatchNorm2d(3))[1]) for _ in range(3))
    )
    state = {key: value for key, value in model.state_dict().items() if not key.startswith("1.1.running")}
    torch.save(state, tmp_path / "model.pt")
    report = check_file(str(tmp_path / "model.pt"), select=["NF706"])
    assert [finding.module for finding in report.findings] == ["1.1"]


def test_a_model_in_which_all_is_untrained_is_told_once() -> None:
    model = nn.Sequential(*(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)) for _ in range(4))).eval()
    (finding,) = check(model, INPUT, purpose="inference", select=["NF703"]).findings
    assert finding.module == "0.1" and "3 more" in finding.message


def test_single_norms_among_trained_ones_are_told_each() -> None:
    model = nn.Sequential(*(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)) for _ in range(4))).train()
    model(INPUT)
    model.eval()
    for index in (1, 3):
        model[index][1].reset_running_stats()  # type: ignore[index,union-attr,operator]
    report = check(model, INPUT, purpose="inference", select=["NF703"])
    assert [finding.module for finding in report.findings] == ["1.1", "3.1"]
