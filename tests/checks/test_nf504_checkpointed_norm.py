"""NF504 checkpointed-norm: look-alikes first, then the misuse in its spellings."""

from typing import Any

import pytest
from source_findings import HEADER, NET, fires, fixed, report, silent

from normfix.checks import nf504_checkpointed_norm as rule

IMPORT = "from torch.utils.checkpoint import checkpoint, checkpoint_sequential\n"
PART = "self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))"


def block(forward: str, part: str = PART, rest: str = "", base: str = "nn.Module") -> str:
    return (
        IMPORT + f"class M({base}):\n    def __init__(self):\n        super().__init__()\n        {part}\n"
        f"    def forward(self, x):\n        {forward}\n{rest}"
    )


CHECKPOINTED = "return checkpoint(self.body, x)"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(block("return self.body(x)"), id="not checkpointed"),
        pytest.param(block(CHECKPOINTED, PART.replace("Batch", "Instance")), id="instance norm"),
        pytest.param(
            block(CHECKPOINTED, "self.body = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8))"), id="layer norm"
        ),
        pytest.param(block(CHECKPOINTED, "self.body = body"), id="a part that is not seen"),
        pytest.param(
            block("return checkpoint(self.fc, self.body(x))", PART + "; self.fc = nn.Linear(8, 8)"), id="beside it"
        ),
        pytest.param(block(CHECKPOINTED, PART.replace("(8))", "(8, momentum=1 - math.sqrt(0.9)))")), id="made up for"),
        pytest.param(block(CHECKPOINTED, PART.replace("(8))", "(8, momentum=None))")), id="a cumulative average"),
        pytest.param(block(CHECKPOINTED).replace(IMPORT, "from lib import checkpoint\n"), id="another checkpoint"),
        pytest.param("import pytest\n" + block(CHECKPOINTED), id="a unit test"),
        pytest.param("from torchvision.ops import FrozenBatchNorm2d\n" + block(CHECKPOINTED), id="frozen norms"),
        pytest.param(block("torch.save(self.body, path)"), id="a checkpoint on disk"),
        pytest.param(
            IMPORT + "def f(x):\n    conv, norm = nn.Conv2d(3, 8, 3), nn.LayerNorm(8)\n"
            "    part = nn.Sequential(conv, norm)\n    return checkpoint(part, x)\n",
            id="a local part without batch norm",
        ),
        pytest.param(
            block(CHECKPOINTED, "self.body = Part()")
            + "class Part(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            "        self.norm = lambda x: nn.BatchNorm1d(8)(x.transpose(1, 2))\n",
            id="a norm that is built, called and dropped keeps no statistics",
        ),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(block(CHECKPOINTED + "  # here"), id="a part"),
        pytest.param(
            block("return torch.utils.checkpoint.checkpoint(self.body, x, use_reentrant=False)  # here"), id="in full"
        ),
        pytest.param(block("return checkpoint_sequential(self.body, 2, x)  # here"), id="sequential"),
        pytest.param(block("return checkpoint(lambda y: self.body(y), x)  # here"), id="a lambda"),
        pytest.param(
            block(
                "return checkpoint(self.inner, x)  # here",
                rest="    def inner(self, x):\n        return self.body(x)\n",
            ),
            id="a method",
        ),
        pytest.param(
            block("def run(y):\n            return self.body(y)\n        return checkpoint(run, x)  # here"),
            id="a local function",
        ),
        pytest.param(
            NET
            + block(
                "for m in self.body:\n            x = checkpoint(m, x)  # here\n        return x",
                "self.body = nn.ModuleList([Net() for _ in range(3)])",
            ),
            id="blocks in a loop",
        ),
        pytest.param(
            block("import torch.utils.checkpoint as cp\n        return cp.checkpoint(self.body, x)  # here"), id="alias"
        ),
        pytest.param(
            block("math.sqrt(2 / n); return checkpoint(self.body, x)  # here"), id="a square root in an initialisation"
        ),
        pytest.param(
            block("from torch import utils\n        return utils.checkpoint.checkpoint(self.body, x)  # here"),
            id="through its package",
        ),
        pytest.param(
            IMPORT + "def f(x):\n    conv, norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)\n"
            "    part = nn.Sequential(conv, norm)\n    return checkpoint(part, x)  # here\n",
            id="a part put together from local names",
        ),
        pytest.param(
            IMPORT + "def f(x):\n    norm = nn.BatchNorm2d(8)\n    def run(y):\n        return norm(y)\n"
            "    return checkpoint(run, x)  # here\n",
            id="a local norm in a local function",
        ),
        pytest.param(
            "import torch.utils.checkpoint\nrerun =   torch.utils.checkpoint.checkpoint\n"
            + block("return rerun(self.body, x)  # here"),
            id="another name, through its package",
        ),
        pytest.param(
            "import torch.utils.checkpoint\nrerun = torch.utils.checkpoint\n"
            + block("return rerun.checkpoint(self.body, x)  # here"),
            id="another name of the module",
        ),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "warning")


SLOWED = PART.replace("(8))", "(8, momentum=1 - (1 - 0.1) ** 0.5))")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            block("return checkpoint(self.body, x) if self.training else self.body(x)"), id="called directly too"
        ),
        pytest.param(block("return checkpoint_sequential(self.body, 2, x)"), id="the last segment is run once"),
        pytest.param(block("return checkpoint(lambda y: self.body(y), x)"), id="a lambda may do more"),
        pytest.param(block(CHECKPOINTED, PART.replace("(8))", "(8, momentum=m))")), id="momentum from elsewhere"),
        pytest.param(block(CHECKPOINTED, PART.replace("(8))", "(8, **kw))")), id="momentum may be in the options"),
        pytest.param(block(CHECKPOINTED, PART.replace("nn.Conv2d(3, 8, 3)", "*layers")), id="layers from elsewhere"),
        pytest.param(block(CHECKPOINTED, f"{PART}; self.body = nn.BatchNorm2d(3)"), id="two values"),
        pytest.param(
            block(
                "for m in self.body:\n            x = checkpoint(m, x) if x.requires_grad else m(x)\n        return x",
                "self.body = nn.ModuleList([nn.BatchNorm2d(8) for _ in range(3)])",
            ),
            id="called directly too, in a loop",
        ),
    ],
)
def test_found_and_left_to_its_author(text: str) -> None:
    assert fixed(rule, text) == text and report(rule, text).findings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(block(CHECKPOINTED), block(CHECKPOINTED, SLOWED), id="the default"),
        pytest.param(
            block(CHECKPOINTED, PART.replace("(8))", "(8, 1e-3, 0.03))")),
            block(CHECKPOINTED, PART.replace("(8))", "(8, 1e-3, 1 - (1 - 0.03) ** 0.5))")),
            id="by position",
        ),
        pytest.param(
            block(
                "for m in self.body:\n            x = checkpoint(m, x)\n        return x",
                "self.body = nn.ModuleList([nn.BatchNorm2d(8) for _ in range(3)])",
            ),
            block(
                "for m in self.body:\n            x = checkpoint(m, x)\n        return x",
                "self.body = nn.ModuleList([nn.BatchNorm2d(8, momentum=1 - (1 - 0.1) ** 0.5) for _ in range(3)])",
            ),
            id="in a loop",
        ),
        pytest.param(
            block(
                "return checkpoint(self.a, checkpoint(self.b, x))",
                f"{PART.replace('body', 'a')}; {PART.replace('body', 'b')}",
            ),
            block(
                "return checkpoint(self.a, checkpoint(self.b, x))",
                f"{SLOWED.replace('body', 'a')}; {SLOWED.replace('body', 'b')}",
            ),
            id="two parts",
        ),
    ],
)
def test_the_momentum_is_set_for_two_updates(text: str, expected: str) -> None:
    assert fixed(rule, text) == expected


def test_two_updates_with_the_new_momentum_are_one_with_the_old() -> None:
    torch = pytest.importorskip("torch")
    code = block("return checkpoint(self.body, x, use_reentrant=False)")
    moved = []
    for text in (code.replace("checkpoint(self.body, x, use_reentrant=False)", "self.body(x)"), fixed(rule, code)):
        names: dict[str, Any] = {}
        exec(compile(HEADER + text, "m.py", "exec"), names)
        torch.manual_seed(0)
        model = names["M"]().double()
        model(torch.randn(4, 3, 9, 9, dtype=torch.float64)).sum().backward()
        moved.append((model.body[1].running_mean, model.body[1].running_var))
    torch.testing.assert_close(moved[1], moved[0], rtol=1e-12, atol=1e-14)
