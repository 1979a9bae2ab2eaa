"""NF301 on live models, and its remedy. The source cases stand in `tests/cases/NF301.md`."""

from __future__ import annotations

import pytest
import torch
from networks import chain, found, layer, tensor
from torch import nn

from normfix import engine
from normfix.engine import Facts
from normfix.findings import Safety
from normfix.graph import Unknown
from normfix.linting.run import lint_source
from normfix.readers.model import capture


def test_positional_bias_is_named_in_the_remedy() -> None:
    text = "from torch import nn\n\nnet = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1, 1, 1, True), nn.BatchNorm2d(8))\n"
    (finding,) = lint_source(text, select=["NF301"]).findings
    assert finding.safety is Safety.UNSAFE
    assert getattr(finding.remedy, "position", None) == 7


class Shared(nn.Module):
    """One convolution, called with and without a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.norm(self.conv(x)))


def tied() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.Flatten(), nn.Linear(256, 2))
    model[2].bias = model[0].bias
    return model


def frozen() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1))
    model[1].eval()
    return model


def live(model: nn.Module, *shape: int, **facts: object) -> list[str | None]:
    graph = capture(model, torch.randn(*shape)).graph
    assert graph.open is None
    return [module for module, _ in found("NF301", graph, **facts)]


LIVE_SILENT = {
    "rows are positions": (nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(4)), (16, 4, 6)),
    "rows are positions, as many as features": (nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4)), (16, 4, 6)),
    "a convolution without a batch axis": (nn.Sequential(nn.Conv1d(3, 4, 1), nn.BatchNorm1d(4)), (3, 4)),
    "called with and without a norm": (Shared(), (4, 4, 8, 8)),
    "its bias is another layer's too": (tied(), (4, 4, 8, 8)),
    "the norm is frozen": (frozen(), (4, 4, 8, 8)),
    "there is no bias": (nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)), (4, 4, 8, 8)),
    "average pooling lies between": (
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.AvgPool2d(3, padding=1), nn.BatchNorm2d(4)),
        (4, 4, 8, 8),
    ),
}


@pytest.mark.parametrize(("model", "shape"), LIVE_SILENT.values(), ids=LIVE_SILENT)
def test_model_is_silent(model: nn.Module, shape: tuple[int, ...]) -> None:
    assert live(model, *shape, purpose="training") == []


LIVE_FOUND = {
    "conv and batch norm": (nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)), (4, 4, 8, 8)),
    "linear on rows": (nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8)), (16, 6)),
    "momentum=None": (nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, momentum=None)), (4, 4, 8, 8)),
    "no running statistics": (
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
        (4, 4, 8, 8),
    ),
    "unbatched instance norm": (nn.Sequential(nn.Conv2d(4, 4, 1), nn.InstanceNorm2d(4)), (4, 8, 8)),
    "transposed, in groups": (nn.Sequential(nn.ConvTranspose2d(4, 4, 2, groups=2), nn.BatchNorm2d(4)), (4, 4, 8, 8)),
}


@pytest.mark.parametrize(("model", "shape"), LIVE_FOUND.values(), ids=LIVE_FOUND)
def test_model_is_found(model: nn.Module, shape: tuple[int, ...]) -> None:
    assert live(model, *shape, purpose="training") == ["0"]


@pytest.mark.parametrize(("model", "shape"), LIVE_FOUND.values(), ids=LIVE_FOUND)
def test_what_is_found_has_no_effect_in_training(model: nn.Module, shape: tuple[int, ...]) -> None:
    """The claim itself, in float64: any other bias gives the same output."""
    model = model.double().train()
    x = torch.randn(shape, dtype=torch.float64)
    before = model(x)
    nn.init.normal_(model[0].bias, std=10)  # type: ignore[index,arg-type]
    torch.testing.assert_close(model(x), before, rtol=0, atol=1e-10)


def test_a_model_in_eval_mode_will_be_trained_by_its_loop() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)).eval()
    assert live(model, 4, 4, 8, 8, purpose="training") == ["0"]


def test_unknown_edges_are_undecided() -> None:
    graph = chain(layer("Conv2d", "conv"), layer("BatchNorm2d", "norm"))
    graph.layers[1].state = {"bias": tensor(0.5)}
    graph.open = Unknown("nothing is known")
    checks = [check for check in engine.checks() if check.rule.code == "NF301"]
    report = engine.run(Facts("model", graph=graph), checks, [graph])
    assert not report.findings
    assert [one.reason for one in report.undecided] == ["nothing is known"]


BLOCK = """from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.apply(initialise)

    def forward(self, x):
        return self.norm(self.conv(x))


def initialise(m):
"""


@pytest.mark.parametrize(
    ("more", "safety"),
    [
        ("    m.bias.data.fill_(0)\n", Safety.DISPLAY),
        ("    if isinstance(m, nn.Conv2d):\n        nn.init.zeros_(m.bias)\n", Safety.DISPLAY),
        ("    if m.bias is not None:\n        nn.init.zeros_(m.bias)\n", Safety.UNSAFE),
        ("    nn.init.zeros_(m.weight)\n", Safety.UNSAFE),
    ],
    ids=["every bias is filled", "that of convolutions is", "only where there is one", "another parameter"],
)
def test_fix_is_only_shown_where_code_would_miss_the_bias(more: str, safety: Safety) -> None:
    (finding,) = lint_source(BLOCK + more, select=["NF301"]).findings
    assert finding.safety is safety
