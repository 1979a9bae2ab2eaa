"""Classes whose base stands in a file beside theirs: a module where that says so, and else none."""

from collections.abc import Callable
from types import ModuleType

import pytest
from source_findings import fires, silent

from normfix.checks import (
    nf404_broken_train_override,
    nf406_hard_coded_mode,
    nf801_norm_in_forward,
    nf802_norm_in_plain_list,
    nf803_unbiased_variance_norm,
    nf804_half_precision_square,
    nf806_ignored_norm_argument,
)
from normfix.readers import scripts
from normfix.script import Script

IMPORT = "from base import Base\n"
MISUSES = {
    nf404_broken_train_override: "class A(Base):\n    def train(self, mode=True):  # here\n"
    "        super().train(mode)\n",
    nf406_hard_coded_mode: "class A(Base):\n    def forward(self, x):\n"
    "        return F.batch_norm(x, self.mean, self.var, training=True)  # here\n",
    nf801_norm_in_forward: "class A(Base):\n    def forward(self, x):\n        return nn.Dropout(0.5)(x)  # here\n",
    nf802_norm_in_plain_list: "class A(Base):\n    def __init__(self):\n"
    "        self.all = [nn.BatchNorm1d(8), nn.BatchNorm1d(8)]  # here\n",
    nf803_unbiased_variance_norm: "class LayerNorm(Base):\n    def forward(self, x):\n        mean = x.mean(-1)\n"
    "        return self.weight * (x - mean) / (x.std(-1) + 1e-6)  # here\n",
    nf804_half_precision_square: "class RMSNorm(Base):\n    def forward(self, x):\n"
    "        return x * torch.rsqrt((x * x).mean(-1) + 1e-6)  # here\n",
    nf806_ignored_norm_argument: "class A(Base):\n    def __init__(self, c, norm_layer=None):  # here\n"
    "        self.norm = nn.BatchNorm2d(c)\n",
}


def beside(text: str) -> Callable[[str], tuple[Script, str] | None]:
    """What finds `Base` in a file of this text."""
    script = scripts.read(f"from torch import nn\n{text}", "base.py")
    return lambda name: (script, "Base") if name == "base.Base" else None


@pytest.mark.parametrize("rule", MISUSES, ids=lambda rule: rule.RULE.code)
@pytest.mark.parametrize(
    "base",
    [
        pytest.param("class Base:\n    pass", id="a class of its own"),
        pytest.param("class Base(Elsewhere):\n    pass", id="a class of another file yet"),
        pytest.param("def Base():\n    return nn.Module", id="a function"),
    ],
)
def test_a_base_that_is_no_module(rule: ModuleType, base: str) -> None:
    silent(rule, IMPORT + MISUSES[rule].replace("  # here", ""), sibling=beside(base))


@pytest.mark.parametrize("rule", MISUSES, ids=lambda rule: rule.RULE.code)
def test_a_base_that_is_not_seen(rule: ModuleType) -> None:
    silent(rule, IMPORT + MISUSES[rule].replace("  # here", ""))


@pytest.mark.parametrize("rule", MISUSES, ids=lambda rule: rule.RULE.code)
@pytest.mark.parametrize(
    "base",
    [
        pytest.param("class Base(nn.Module):\n    pass", id="directly"),
        pytest.param("class Root(nn.Module):\n    pass\n\nclass Base(Root):\n    pass", id="through another class"),
    ],
)
def test_a_base_that_is_a_module(rule: ModuleType, base: str) -> None:
    fires(rule, IMPORT + MISUSES[rule], sibling=beside(base))


def test_a_base_of_a_base() -> None:
    rule = nf801_norm_in_forward
    text = IMPORT + "class Middle(Base):\n    pass\n\n" + MISUSES[rule].replace("Base", "Middle")
    fires(rule, text, sibling=beside("class Base(nn.Module):\n    pass"))
    silent(rule, text, sibling=beside("class Base:\n    pass"))


def test_the_forward_of_another_file_may_convert_what_it_hands_on() -> None:
    text = IMPORT + MISUSES[nf804_half_precision_square].replace("forward", "_norm").replace("  # here", "")
    silent(nf804_half_precision_square, text, sibling=beside("class Base(nn.Module):\n    pass"))
