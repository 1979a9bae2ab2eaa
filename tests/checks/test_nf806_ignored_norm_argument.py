"""NF806 ignored-norm-argument: look-alikes first, then the misuse in its spellings."""

import pytest
from source_findings import fires, silent

from normfix.checks import nf806_ignored_norm_argument as rule


def block(body: str, parameter: str = "norm_layer=None", base: str = "nn.Module", mark: str = "") -> str:
    head = f"class Block({base}):\n    def __init__(self, c, {parameter}):{mark}\n"
    return f"{head}        super().__init__()\n        {body}\n"


BUILD = "self.bn = nn.BatchNorm2d(c)"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(block("self.bn = norm_layer(c)"), id="used"),
        pytest.param(
            block("norm_layer = norm_layer or nn.BatchNorm2d\n        self.bn = norm_layer(c)"), id="with a default"
        ),
        pytest.param(
            block("if norm_layer is None:\n            norm_layer = nn.BatchNorm2d\n        self.bn = norm_layer(c)"),
            id="with a default, by a test",
        ),
        pytest.param(
            block("if norm_layer is None:\n            self.bn = nn.BatchNorm2d(c)"),
            id="its absence decides",
        ),
        pytest.param(
            block("if norm_layer is None:\n            norm_layer = nn.BatchNorm2d\n        super().build(norm_layer)"),
            id="handed to a base",
        ),
        pytest.param(block("self.bn = nn.BatchNorm2d(c) if norm_layer is None else norm_layer(c)"), id="one of two"),
        pytest.param(
            block("norm = norm_layer or nn.BatchNorm2d\n        self.bn = nn.BatchNorm2d(c); self.norm = norm"),
            id="under another name",
        ),
        pytest.param(block("self.make = lambda: norm_layer(c); " + BUILD), id="used in a lambda"),
        pytest.param(block("self.fc = nn.Linear(c, c)"), id="builds no norm"),
        pytest.param(block("self.inner = Inner(c); self.conv = nn.Conv2d(c, c, 1)"), id="what it builds is not seen"),
        pytest.param(block(BUILD + "; self.options = locals()"), id="arguments read as a whole"),
        pytest.param(block(BUILD, "width=3"), id="no such parameter"),
        pytest.param(block(BUILD, base="object"), id="no module"),
        pytest.param(block(BUILD, base="Base"), id="an unknown base, which may look at it"),
        pytest.param(block(BUILD + "; del norm_layer"), id="dropped on purpose"),
        pytest.param("def build(c, norm_layer=None):\n    return nn.BatchNorm2d(c)", id="a function"),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(block(BUILD, mark="  # here"), id="norm_layer"),
        pytest.param(block(BUILD, "norm_layer=nn.GroupNorm", mark="  # here"), id="with a default"),
        pytest.param(block(BUILD, "*, norm_layer=None", mark="  # here"), id="keyword only"),
        pytest.param(block(BUILD, "norm='bn'", mark="  # here"), id="norm"),
        pytest.param(
            block("self.body = nn.Sequential(nn.Conv2d(c, c, 1), nn.BatchNorm2d(c))", mark="  # here"), id="nested"
        ),
        pytest.param(
            block(f"if norm_layer is None:\n            norm_layer = nn.BatchNorm2d\n        {BUILD}", mark="  # here"),
            id="a default, and nothing else",
        ),
        pytest.param(
            block(f"norm_layer = norm_layer or nn.BatchNorm2d\n        {BUILD}", mark="  # here"), id="a default, by or"
        ),
        pytest.param(
            block(
                f"norm = nn.BatchNorm2d if norm is None else norm\n        {BUILD}",
                "norm=None",
                mark="  # here",
            ),
            id="a default, in one expression",
        ),
        pytest.param(block("self.ln = nn.LayerNorm(c)", "norm_type='batch'", mark="  # here"), id="norm_type"),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "info")
