"""Files whose norms no rule can find fault with are left alone where findings alone are wanted."""

from pathlib import Path

import pytest

from normfix import lint
from normfix.engine import rules
from normfix.linting.examine import Plan
from normfix.linting.prefilter import may_misuse
from normfix.readers.plain_norms import only_plain_norms

PLAIN = """\
from torch import nn

class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.width = config.hidden_size
        inner = config.intermediate_size
        self.fc = nn.Linear(self.width, inner)
        self.first = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.second = nn.LayerNorm(inner)
        self.LayerNorm = nn.LayerNorm(
            self.width, eps=1e-6, bias=False
        )

    def forward(self, x):
        return self.second(self.fc(self.first(self.LayerNorm(x))))
"""
FINDINGS_ONLY = Plan(frozenset(rules()), undecided=False)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("nn.LayerNorm(inner)", "nn.LayerNorm(inner, 1e-6)", id="a positional eps"),
        pytest.param("eps=1e-6", "eps=1e-12", id="an eps that half precision takes for 0"),
        pytest.param("eps=1e-6", "eps=1", id="an eps that is no eps"),
        pytest.param("nn.LayerNorm(inner)", "nn.LayerNorm(64)", id="a width that is known"),
        pytest.param("nn.LayerNorm(inner)", "nn.LayerNorm([inner, 8])", id="several axes"),
        pytest.param("inner = config.intermediate_size", "inner = 64", id="a name for a width that is known"),
        pytest.param("self.width = config.hidden_size", "self.width = 64", id="an attribute that is known"),
        pytest.param("inner = config.intermediate_size", "use(inner)", id="a width from elsewhere"),
        pytest.param("self.second(", "(", id="a norm that is not used"),
        pytest.param("return self.second(", "# self.second(x)\n        return (", id="used in a comment"),
        pytest.param(
            "nn.Linear(self.width, inner)", "nn.Linear(self.width, 4 * inner)", id="a width that surely differs"
        ),
        pytest.param("nn.Linear(self.width, inner)", "nn.Conv2d(3, inner, 3)", id="a convolution"),
        pytest.param("nn.Linear(self.width, inner)", "weight_norm(nn.Linear(8, 8))", id="a reparametrised weight"),
        pytest.param("nn.LayerNorm(inner)", "nn.BatchNorm1d(inner)", id="another norm"),
        pytest.param("nn.LayerNorm(inner)", "getattr(nn, f'{kind}Norm')(inner)", id="a name put together"),
        pytest.param("class Block", "Norm = nn.LayerNorm\n\nclass Block", id="another name for it"),
        pytest.param("return", "self.first.eps = 1\n        return", id="an eps that is set later"),
        pytest.param("class Block(nn.Module):", "class Block(nn.LayerNorm):", id="a class that derives from it"),
        pytest.param("nn.LayerNorm(inner)", "nn.LayerNorm(inner) if inner else None", id="a condition"),
        pytest.param("return", "config = BlockConfig()\n        return", id="a configuration that is made here"),
    ],
)
def test_a_norm_that_a_rule_may_find_fault_with_is_looked_at(old: str, new: str) -> None:
    assert old in PLAIN
    assert not only_plain_norms(PLAIN.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("", "", id="given by a configuration"),
        pytest.param("import nn\n", "import nn\nfrom torch.nn import Linear, LayerNorm\n", id="imported"),
        pytest.param("return", "assert not isinstance(x, nn.BatchNorm2d)\n        return", id="asked for"),
        pytest.param("class Block", '@kernel("RMSNorm")\nclass Block', id="a decorator's text"),
        pytest.param("return", "# as BatchNorm1d does\n        return", id="a comment"),
    ],
)
def test_layer_norms_that_a_configuration_describes_are_left_alone(old: str, new: str) -> None:
    text = PLAIN.replace(old, new, 1)
    assert only_plain_norms(text)
    assert not may_misuse(text, FINDINGS_ONLY, "a.py", None)


def test_what_is_not_decided_is_told_of_them_all_the_same() -> None:
    assert may_misuse(PLAIN, Plan(frozenset(rules())), "a.py", None)


@pytest.mark.parametrize("undecided", [True, False])
def test_a_width_that_surely_differs_is_found_whether_or_not_more_is_asked_for(undecided: bool, tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    text = PLAIN.replace("self.fc(self.first(self.LayerNorm(x)))", "self.LayerNorm(self.fc(self.first(x)))")
    text = text.replace("nn.Linear(self.width, inner)", "nn.Linear(self.width, 4 * self.width)")
    file.write_text(text.replace("inner)", "config.size)"), encoding="utf-8")
    assert [one.code for one in lint([str(file)], undecided=undecided, jobs=1).findings] == ["NF201"]
