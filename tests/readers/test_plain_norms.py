"""Files and classes whose norms no rule can find fault with are left alone where findings alone are wanted."""

from pathlib import Path

import pytest

from normfix import lint
from normfix.engine import rules
from normfix.linting.examine import Plan
from normfix.linting.prefilter import may_misuse
from normfix.readers.plain_norms import only_plain_norms, plain_classes

PLAIN = """\
from torch import nn

class Block(nn.Module):
    def __init__(self, config, dim):
        super().__init__()
        self.width = config.hidden_size
        inner = config.intermediate_size
        self.fc = nn.Linear(self.width, inner)
        self.first = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.second = nn.LayerNorm(inner)
        self.third = nn.LayerNorm(dim)
        self.LayerNorm = nn.LayerNorm(
            self.width, eps=1e-6, bias=False
        )

    def forward(self, x):
        return self.third(self.second(self.fc(self.first(self.LayerNorm(x)))))

class Model(nn.Module):
    _recorded = {"hidden_states": [Block, Other]}

    def __init__(self, config):
        super().__init__()
        sizes = config.sizes
        self.blocks = nn.ModuleList([Block(config, dim=sizes[i]) for i in range(config.depth)])

    def forward(self, x):
        return self.blocks[0](x)
"""
FINDINGS_ONLY = Plan(frozenset(rules()), undecided=False)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("nn.LayerNorm(inner)", "nn.LayerNorm(inner, True)", id="a positional bool for an eps"),
        pytest.param("nn.LayerNorm(inner)", "nn.LayerNorm(inner, inner)", id="a width for an eps"),
        pytest.param("nn.LayerNorm(inner)", "nn.LayerNorm(inner, '1e-5')", id="a string for an eps"),
        pytest.param("nn.LayerNorm(inner)", "nn.LayerNorm(inner, config.momentum)", id="a momentum for an eps"),
        pytest.param("eps=1e-6", "eps=0.", id="an eps of 0"),
        pytest.param("eps=1e-6", "eps=1e-12, dtype=torch.float16", id="an eps that half precision takes for 0"),
        pytest.param("eps=1e-6", "eps=1", id="an eps that is no eps"),
        pytest.param("eps=1e-6", "eps=EPS", id="an eps that stands elsewhere"),
        pytest.param("eps=1e-6", "**options", id="options"),
        pytest.param("nn.LayerNorm(inner)", "nn.LayerNorm(64)", id="a width that is known"),
        pytest.param("nn.LayerNorm(inner)", "nn.LayerNorm([inner, 8])", id="several axes"),
        pytest.param("inner = config.intermediate_size", "inner = 64", id="a name for a width that is known"),
        pytest.param("inner = config.intermediate_size", "inner = config.size or 64", id="a width in want of another"),
        pytest.param("inner = config.intermediate_size", "inner = 64 if dim else 32", id="one of two known widths"),
        pytest.param("self.width = config.hidden_size", "self.width = 64", id="an attribute that is known"),
        pytest.param(
            "self.width = config.hidden_size", "setattr(self, 'width', 64)", id="an attribute set by its name"
        ),
        pytest.param("inner = config.intermediate_size", "use(inner)", id="a width from elsewhere"),
        pytest.param("dim=sizes[i]", "dim=64", id="a class that is given a width"),
        pytest.param("dim=sizes[i]", "**options", id="a class that is given options"),
        pytest.param("sizes = config.sizes", "sizes = (64, 128)", id="a class that is given one of several widths"),
        pytest.param("for i in", "for config in", id="a class that is given one of several configurations"),
        pytest.param("class Model", "def pick(kind=Block): ...\n\nclass Model", id="a class that is handed on"),
        pytest.param(
            "return self.blocks", "self._recorded['a'][0](1)\n        return self.blocks", id="a class in a dict"
        ),
        pytest.param("self.second(", "(", id="a norm that is not used"),
        pytest.param("return self.third(", "# self.third(x)\n        return (", id="used in a comment"),
        pytest.param("return self.third(", "'self.third(x)'\n        return (", id="used in a string"),
        pytest.param("self.second = ", "self.second = wrap(", id="a norm that is handed on"),
        pytest.param(
            "nn.Linear(self.width, inner)", "nn.Linear(self.width, 4 * inner)", id="a width that surely differs"
        ),
        pytest.param("nn.Linear(self.width, inner)", "nn.Linear(*sizes, 4)", id="a width that is not told"),
        pytest.param("nn.Linear(self.width, inner)", "nn.Conv2d(3, inner, 3)", id="a convolution of that width"),
        pytest.param("self.fc = nn.Linear", "L = nn.Linear\n        self.fc = L", id="another name for a linear layer"),
        pytest.param("nn.Linear(self.width, inner)", "spectral_norm(nn.Linear(8, 8))", id="a bounded weight"),
        pytest.param("nn.LayerNorm(inner)", "nn.BatchNorm1d(inner)", id="another norm"),
        pytest.param("nn.LayerNorm(inner)", "getattr(nn, f'{kind}Norm')(inner)", id="a name put together"),
        pytest.param("class Block", "Norm = nn.LayerNorm\n\nclass Block", id="another name for it"),
        pytest.param(
            "import nn\n", "import nn\nfrom torch.nn import LayerNorm as Norm\n", id="imported as another name"
        ),
        pytest.param("nn.LayerNorm(inner)", "kinds(nn)(inner)", id="a module of layers that is handed on"),
        pytest.param("class Model", "class Block(nn.Module): ...\n\nclass Model", id="two classes of one name"),
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
        pytest.param("import nn\n", "import nn\nfrom torch.nn import (\n    LayerNorm,\n)\n", id="imported over lines"),
        pytest.param("return", "assert not isinstance(x, nn.BatchNorm2d)\n        return", id="asked for"),
        pytest.param("class Block", '@kernel("RMSNorm")\nclass Block', id="a decorator's text"),
        pytest.param("return", "# as BatchNorm1d does\n        return", id="a comment"),
        pytest.param("return", '"""As BatchNorm1d does"""\n        return', id="a docstring"),
        pytest.param("class Model", "A = 'BatchNorm1d'\n\nclass Model", id="a string that names nothing"),
        pytest.param("def forward(self, x)", "def forward(self, x: nn.LayerNorm | None)", id="an annotation"),
        pytest.param(
            "class Model", "class Own(nn.LayerNorm):\n    pass\n\nclass Model", id="a class that derives from it"
        ),
        pytest.param("nn.LayerNorm(inner)", "nn.LayerNorm(inner) if dim else None", id="a condition"),
        pytest.param("nn.LayerNorm(inner)", "nn.ModuleList([nn.LayerNorm(inner)])", id="a container"),
        pytest.param("nn.LayerNorm(inner)", "nn.LayerNorm(inner, 1e-6)", id="a usual eps by position"),
        pytest.param("eps=1e-6", "eps=1e-12", id="an eps that single precision holds"),
        pytest.param(
            "return", "self.first.eps = 1\n        return", id="an eps that is set later, to what nobody reads"
        ),
        pytest.param("nn.LayerNorm(inner)", "nn.LayerNorm(4 * config.size)", id="a width made of what is not known"),
        pytest.param("nn.Linear(self.width, inner)", "weight_norm(nn.Linear(8, 8))", id="a weight of learned length"),
        pytest.param(
            "class Model", "class A(nn.Module):\n    a = nn.Conv2d(3, inner, 3)\n\nclass Model", id="elsewhere"
        ),
    ],
)
def test_layer_norms_whose_width_nobody_can_know_are_left_alone(old: str, new: str) -> None:
    text = PLAIN.replace(old, new, 1)
    assert only_plain_norms(text)
    assert not may_misuse(text, FINDINGS_ONLY, "a.py", None)


def test_classes_are_told_apart() -> None:
    text = f"{PLAIN}\nclass Other(nn.Module):\n    def __init__(self):\n        self.norm = nn.BatchNorm1d(8)\n"
    assert not only_plain_norms(text)
    assert plain_classes(text) == {"Block"}


def test_a_text_without_statements_names_no_class() -> None:
    assert plain_classes('  {"source": "nn.LayerNorm(8)"}') == frozenset()


def test_what_is_not_decided_is_told_of_them_all_the_same() -> None:
    assert may_misuse(PLAIN, Plan(frozenset(rules())), "a.py", None)


@pytest.mark.parametrize("undecided", [True, False])
def test_a_width_that_surely_differs_is_found_whether_or_not_more_is_asked_for(undecided: bool, tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    text = PLAIN.replace("self.fc(self.first(self.LayerNorm(x)))", "self.LayerNorm(self.fc(self.first(x)))")
    text = text.replace("nn.Linear(self.width, inner)", "nn.Linear(self.width, 4 * self.width)")
    file.write_text(text.replace("inner)", "config.size)"), encoding="utf-8")
    assert [one.code for one in lint([str(file)], undecided=undecided, jobs=1).findings] == ["NF201"]
