"""Only findings wanted: classes in which there are none are not followed to their end, and nothing else changes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_cases import FILES as CASES
from test_cases import cases_of

from normfix import cli, engine
from normfix.linting.examine import Plan, examine_text
from normfix.readers import scripts, source
from normfix.readers.siblings import Siblings

ROOT = Path(__file__).parents[2]
CODES = frozenset(engine.rules())
BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FOLDERS = {"rules": "NF*.md", "docs": "*.md", "tests": "**/*.py", "examples": "**/*.py"}
FILES = sorted(path for folder, pattern in FOLDERS.items() for path in (ROOT / folder).glob(pattern))

HEAD = "import torch\nfrom torch import nn\nfrom torch.nn import LayerNorm, BatchNorm2d as BN\n\n\n"
BODY = """class Block(nn.Module):
    def __init__(self, config, norm=None):
        super().__init__()
        self.fc = nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width)

    def forward(self, x):
        return self.norm(self.fc(x))
"""


def texts(path: Path) -> list[str]:
    if path in CASES:
        return [case.text for case in cases_of(path)]
    content = path.read_text(encoding="utf-8")
    return [HEAD + block for block in BLOCK.findall(content)] if path.suffix == ".md" else [content]


@pytest.mark.parametrize("path", [*FILES, *CASES], ids=lambda path: path.stem)
def test_nothing_is_found_less_or_more(path: Path) -> None:
    for text in texts(path):
        whole = examine_text(text, "m.py", Plan(CODES, named=True))
        brief = examine_text(text, "m.py", Plan(CODES, named=True, undecided=False))
        assert (brief.findings, brief.undecided, brief.norms) == (whole.findings, [], 0)


def read(body: str) -> set[str]:
    """The names of the graphs that are read when only findings are wanted."""
    return {graph.name for graph in source.graphs(scripts.read(HEAD + body, "m.py"), whole=False)}


def read_on_demand(body: str) -> set[str]:
    """The names of those that are read besides when other uses of the same code matter."""
    script = scripts.read(HEAD + body, "m.py")
    source.graphs(script, whole=False)
    return {graph.name for graph in script.further()}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("", "", id="a layer norm of unknown width"),
        pytest.param("config.width)\n\n", "config.width, eps=1e-6)\n\n", id="with a usual eps"),
        pytest.param("config.width)\n\n", "config.width, eps=config.eps)\n\n", id="with an unknown eps"),
        pytest.param("nn.LayerNorm(config.width)", "LayerNorm(config.width)", id="imported by name"),
        pytest.param("self.norm = nn.LayerNorm(config.width)", "self.norm = norm(8)", id="no norm that is known"),
        pytest.param("norm=None", "norm=nn.BatchNorm2d", id="a default that is not in force"),
        pytest.param("        return", "        # not nn.BatchNorm2d\n        return", id="another norm in a comment"),
        pytest.param("config.width, config.width", "8, 2 * config.depth", id="a width that may be the same"),
        pytest.param("self.norm", "self.LayerNorm", id="an attribute of the name of a norm"),
        pytest.param("nn.Linear(config.width, config.width)", "nn.Conv2d(3, config.depth, 3)", id="a convolution"),
        pytest.param("nn.Linear(config.width, config.width)", "nn.utils.weight_norm(nn.Linear(8, 8))", id="filters"),
        pytest.param("return", "self.norm.eps = 0.5\n        return", id="an eps that is not known"),
        pytest.param("return", "setattr(self.norm, 'eps', 0.5)\n        return", id="set by its name"),
        pytest.param("return", "ok = isinstance(x, nn.BatchNorm2d)\n        return", id="a question about a class"),
        pytest.param("return", "ok = 'BatchNorm' in str(x)\n        return", id="a question about a name"),
        pytest.param("return", 'ok = "RMSNorm" not in str(x)\n        return', id="the same question denied"),
        pytest.param("return", "ok = isinstance(x, (nn.Conv2d, nn.Linear))\n        return", id="about a convolution"),
    ],
)
def test_classes_that_cannot_hold_a_finding_are_left(old: str, new: str) -> None:
    assert "Block" not in read(BODY.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("LayerNorm(config.width)", "LayerNorm(8)", id="known width"),
        pytest.param("LayerNorm(config.width)", "LayerNorm(config.width, 0.1)", id="positional eps"),
        pytest.param("LayerNorm(config.width)", "LayerNorm(config.width, eps=0)", id="vanishing eps"),
        pytest.param("LayerNorm(config.width)", "LayerNorm(config.width, eps=0.1)", id="large eps"),
        pytest.param("nn.Linear(", "nn.Conv2d(", id="a convolution of as many channels"),
        pytest.param("config.width, config.width", "8, 2 * config.width", id="a multiple of the width"),
        pytest.param("config.width, config.width", "8, config.width + 1", id="a width that is larger"),
        pytest.param("LayerNorm(config.width)", "LayerNorm([config.a, config.b])", id="a norm over positions"),
        pytest.param("self.fc(x)", "nn.Conv2d(3, config.width, 3)(x)", id="a convolution behind the constructor"),
        pytest.param(
            "nn.Linear(config.width, config.width)", "nn.utils.spectral_norm(nn.Linear(8, 8))", id="spectral norm"
        ),
        pytest.param("nn.LayerNorm(config.width)", "nn.GroupNorm(4, 8)", id="another norm"),
        pytest.param("nn.LayerNorm(config.width)", "BN(8)", id="another norm under another name"),
        pytest.param("self.norm(self.fc(x))", "self.fc(x)", id="never called"),
        pytest.param("self.norm(self.fc(x))", "nn.functional.layer_norm(x, (8,))", id="a functional norm"),
        pytest.param("self.norm(self.fc(x))", "nn.LayerNorm(8)(self.norm(x))", id="built in the forward"),
        pytest.param("self.norm(self.fc(x))", "LayerNorm(8)(self.norm(x))", id="built in the forward by its name"),
        pytest.param(
            "self.fc(x)", "[nn.BatchNorm2d(8) if 'bn' in m else m for m in x][0](x)", id="built upon a question"
        ),
        pytest.param("self.fc(x)", "getattr(nn, 'LayerNorm')(8)(x)", id="built by the name that is written in quotes"),
        pytest.param("self.fc(x)", "self.pick(x)['LayerNorm' in x:](nn.Conv2d(3, config.width, 3)(x))", id="and more"),
        pytest.param("self.fc =", "self.kind = nn.BatchNorm2d\n        self.fc =", id="a class is kept"),
        pytest.param("self.fc =", "self.kinds = [BN]\n        self.fc =", id="a class is kept in a list"),
        pytest.param("self.fc =", "self.make = lambda: BN(8)\n        self.fc =", id="a function is kept"),
        pytest.param("self.fc(x)", "Other(8)(x)", id="a class with a norm is called behind the constructor"),
    ],
)
def test_classes_that_can_are_read(old: str, new: str) -> None:
    other = "class Other(nn.Module):\n    def __init__(self, n):\n        self.norm = nn.LayerNorm(n)\n"
    assert "Block" in read(BODY.replace(old, new) + other)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param("nn.Linear(config.width, config.width)", "Plain(8)", set(), id="made by the constructor"),
        pytest.param("self.fc(x)", "Plain(8)(x)", {"Block"}, id="made behind it"),
    ],
)
def test_what_a_file_beside_makes(old: str, new: str, expected: set[str], tmp_path: Path) -> None:
    blocks = BODY.replace("Block", "Plain") + BODY.replace("LayerNorm", "BatchNorm2d")
    (tmp_path / "blocks.py").write_text(HEAD + blocks, encoding="utf-8")
    script = scripts.read(HEAD + "from blocks import Plain\n" + BODY.replace(old, new), str(tmp_path / "m.py"))
    found = source.graphs(Siblings().attach(script), whole=False)
    assert {graph.name for graph in found} == expected


def test_other_uses_of_what_feeds_a_batch_norm_are_read() -> None:
    net = "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    net += "        self.b = Block(3)\n        self.bn = nn.BatchNorm1d(8)\n\n    def forward(self, x):\n"
    net += "        return self.bn(self.b.fc(x))\n"
    assert read(BODY + net) == {"Net"}
    assert read_on_demand(BODY + net) == {"Block"}


def test_code_that_nothing_depends_on_is_not_read_on_demand() -> None:
    assert read_on_demand(BODY) == set()


@pytest.mark.parametrize(
    ("option", "told"),
    [
        pytest.param([], False, id="findings"),
        pytest.param(["--output-format", "concise"], False, id="one line for each"),
        pytest.param(["--show-undecided"], True, id="what is undecided"),
        pytest.param(["--statistics"], True, id="how many norms"),
        pytest.param(["--output-format", "json"], True, id="all there is"),
        pytest.param(["--html", "page.html"], True, id="a page that shows it"),
    ],
)
def test_commands_follow_what_they_show(
    option: list[str], told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.py").write_text(HEAD + BODY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    asked = []
    graphs = source.graphs
    monkeypatch.setattr(source, "graphs", lambda script, whole: asked.append(whole) or graphs(script, whole))
    cli.main(["lint", "m.py", *option])
    assert asked == [told]


def test_a_suppression_of_what_is_undecided_is_not_useless() -> None:
    text = HEAD + BODY.replace("LayerNorm(config.width)", "LayerNorm(config.width)  # noqa: NF201")
    plans = [Plan(CODES, named=True, undecided=undecided) for undecided in (True, False)]
    whole, brief = (examine_text(text, "m.py", plan) for plan in plans)
    assert whole.findings == brief.findings


def test_every_rule_about_layer_norms_is_known_here() -> None:
    """A new one may find something where classes are left: `readers/brevity.py` has to know of it."""
    checks = [
        check for check in engine.checks() if check.subject in ("layer", "call") and "source" in check.rule.readers
    ]
    assert {check.rule.code for check in checks if "LayerNorm" in check.kinds} == {
        "NF101", "NF104", "NF201", "NF203", "NF206", "NF302", "NF304",
    }  # fmt: skip
