"""NF801 norm-in-forward: look-alikes first, then the misuse in its spellings."""

import textwrap

import pytest
from source_findings import fires, silent

from normfix.checks import nf801_norm_in_forward as rule


def forward(text: str, base: str = "nn.Module", name: str = "forward") -> str:
    return f"class Net({base}):\n    def {name}(self, x):\n{textwrap.indent(textwrap.dedent(text), '        ')}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(forward("self.bn = nn.BatchNorm2d(8)", name="__init__"), id="in the constructor"),
        pytest.param(forward("self.bn = nn.BatchNorm2d(8)", name="build"), id="in a helper"),
        pytest.param(forward("return F.layer_norm(x, x.shape[1:])"), id="a functional norm"),
        pytest.param(forward("if self.bn is None:\n    self.bn = nn.BatchNorm2d(x.shape[1])"), id="built when needed"),
        pytest.param(forward("if not hasattr(self, 'bn'):\n    self.bn = nn.BatchNorm2d(8)"), id="built once"),
        pytest.param(
            forward("if x.shape not in self.cache:\n    self.cache[x.shape] = nn.LayerNorm(x.shape)"),
            id="kept in a cache",
        ),
        pytest.param(forward("if isinstance(self.n, nn.BatchNorm2d):\n    return x"), id="a question of type"),
        pytest.param(forward("bn = nn.BatchNorm2d(8)\nbn.weight = self.w\nreturn bn(x)"), id="weights are put in"),
        pytest.param(forward("return nn.BatchNorm2d(8)(x)", base="object"), id="no module"),
        pytest.param("def forward(x):\n    return nn.BatchNorm2d(8)(x)", id="a function"),
        pytest.param(forward("return nn.ReLU()(x)"), id="an activation"),
        pytest.param(forward("return nn.LocalResponseNorm(5)(x)"), id="a norm without parameters or modes"),
        pytest.param(
            forward("if self.training:\n    x = nn.Dropout(0.5)(x)\nreturn x"), id="dropout that asks for the mode"
        ),
        pytest.param(forward("return nn.Dropout(0.5).train(self.training)(x)"), id="dropout that is switched"),
        pytest.param(forward("return nn.LayerNorm(8, elementwise_affine=self.affine)(x)"), id="decided at run time"),
        pytest.param("from lib import BatchNorm2d\n" + forward("return BatchNorm2d(x)"), id="a function of that name"),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        pytest.param("return nn.BatchNorm2d(x.shape[1])(x)  # here", "error", id="called at once"),
        pytest.param("bn = nn.BatchNorm1d(8).to(x.device)  # here\nreturn bn(x)", "error", id="moved to the device"),
        pytest.param(
            "self.bn = nn.BatchNorm2d(8)  # here\nreturn self.bn(x)", "error", id="stored without a condition"
        ),
        pytest.param("return nn.LayerNorm(x.shape[1:]).cuda()(x)  # here", "error", id="layer norm has weights"),
        pytest.param("return torch.nn.GroupNorm(4, 8)(x)  # here", "error", id="group norm has weights"),
        pytest.param("return nn.InstanceNorm2d(8, affine=True)(x)  # here", "error", id="instance norm with weights"),
        pytest.param("return nn.Sequential(nn.BatchNorm2d(8), nn.ReLU())(x)  # here", "error", id="in a Sequential"),
        pytest.param("for _ in range(3):\n    x = nn.BatchNorm2d(8)(x)  # here", "error", id="in a loop"),
        pytest.param("return nn.InstanceNorm2d(8)(x)  # here", "info", id="instance norm without state"),
        pytest.param(
            "return nn.LayerNorm(8, elementwise_affine=False)(x)  # here", "info", id="layer norm without weights"
        ),
        pytest.param("return nn.BatchNorm1d(8, affine=False)(x)  # here", "error", id="batch norm has statistics"),
        pytest.param("return nn.Dropout(0.5)(x)  # here", "error", id="dropout"),
        pytest.param("drop = nn.Dropout2d(p=0.1)  # here\nreturn drop(x)", "error", id="dropout by name"),
    ],
)
def test_found(text: str, severity: str) -> None:
    fires(rule, forward(text), severity)
    fires(rule, "import pytorch_lightning as pl\n" + forward(text, base="pl.LightningModule"), severity)
