"""Whatever a file holds, linting it ends, in a report."""

import ast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from normfix import lint_source
from normfix.findings import Report

HEAD = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\n\n"

HARD = {
    "a sum of 900 terms": "x = " + " + ".join(["nn.BatchNorm2d"] * 900),
    "80 nested calls": "x = " + "f(" * 80 + "nn.BatchNorm2d(8)" + ")" * 80,
    "a chain of 400 methods": "x = nn.BatchNorm2d(8)" + ".eval()" * 400,
    "90 nested functions": "".join(" " * depth + f"def f{depth}(x):\n" for depth in range(90)) + " " * 90 + "x.eval",
    "900 branches": "if nn:\n    pass\n" + "elif nn.BatchNorm2d:\n    pass\n" * 900,
    "a Sequential of 20,000 layers": "net = nn.Sequential(" + "nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), " * 10_000 + ")",
    "a huge number": "norm = nn.BatchNorm2d(" + "9" * 4_000 + ")",
    "a product that explodes": "norm = nn.BatchNorm2d(9 ** 9 ** 9)",
    "a list that explodes": "norm = nn.LayerNorm([1] * 10 ** 12)",
    "a shift that explodes": "norm = nn.BatchNorm2d(1 << 10 ** 10)",
    "a text that explodes": "norm = nn.BatchNorm2d('a' * 10 ** 12)",
    "a range that explodes": "layers = [nn.BatchNorm2d(8) for i in range(10 ** 12)]",
    "a loop without end": "while True:\n    net = nn.Sequential(net, nn.BatchNorm2d(8))",
    "loops in loops": "".join("    " * depth + f"for i{depth} in range(100):\n" for depth in range(15))
    + "    " * 15 + "layers += [nn.BatchNorm2d(8)]",
    "a class that makes itself": "class A(nn.Module):\n    def __init__(self):\n        self.a = A()\n"
    "        self.n = nn.BatchNorm2d(8)\n"
    "    def forward(self, x):\n        return self.n(self.forward(x))",
    "classes that make each other": "class A(nn.Module):\n    def __init__(self):\n        self.norm = B()\n"
    "class B(nn.Module):\n    def __init__(self):\n        self.norm = A()",
    "functions that call each other": "def norm():\n    return layer()\n"
    "def layer():\n    return norm()\nnet = nn.Sequential(norm())",
    "a class that is its base": "class A(A, nn.BatchNorm2d):\n    pass",
    "names that are not ASCII": "größe = nn.BatchNorm2d(8)\ngröße.eval",
    "a form feed": "\f\nx = nn.BatchNorm2d(8)\n\f\ndef f():\n\f    pass",
}  # fmt: skip


@pytest.mark.parametrize("text", HARD.values(), ids=HARD)
def test_hard_texts_end(text: str) -> None:
    report = lint_source(HEAD + text + "\n", "a.py")
    assert isinstance(report, Report)
    assert not [finding for finding in report.findings if finding.code == "NF902"]


WORDS = st.sampled_from(
    "nn.BatchNorm2d nn.LayerNorm nn.Conv2d nn.Linear nn.Sequential self.norm self.conv self x y F.relu F.batch_norm "
    "torch.cat norm_layer model model.eval model.train loader layers".split()
)
NUMBERS = st.sampled_from(["0", "1", "8", "-1", "0.1", "1e-5", "None", "True", "'a'", "()", "[8]", "..."])


def _call(function: str, arguments: list[str], keyword: str | None) -> str:
    named = [f"{keyword}=8"] if keyword else []
    return f"{function}({', '.join([*arguments, *named])})"


EXPRESSIONS = st.recursive(
    WORDS | NUMBERS,
    lambda inner: st.one_of(
        st.builds(
            _call, WORDS, st.lists(inner, max_size=3), st.sampled_from([None, "bias", "eps", "momentum", "num_groups"])
        ),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("[{} for x in {}]".format, inner, inner),
        st.builds("({} + {})".format, inner, inner),
        st.builds("{}[0]".format, WORDS),
        st.builds("(lambda x: {})".format, inner),
        st.builds("{{'a': {}, **{}}}".format, inner, WORDS),
        st.builds("[*{}, {}]".format, inner, inner),
    ),
    max_leaves=6,
)


def _indent(block: list[str]) -> str:
    return "".join(f"    {line}\n" for text in block for line in text.splitlines()) or "    pass\n"


STATEMENTS = st.recursive(
    st.one_of(
        st.builds("{}".format, EXPRESSIONS),
        st.builds(
            "{} = {}".format, st.sampled_from(["x", "y", "self.norm", "self.conv", "layers", "x, y"]), EXPRESSIONS
        ),
        st.builds("return {}".format, EXPRESSIONS),
        st.builds("layers += [{}]".format, EXPRESSIONS),
        st.just("super().__init__()"),
    ),
    lambda inner: st.one_of(
        st.builds(lambda test, body: f"if {test}:\n{_indent(body)}", EXPRESSIONS, st.lists(inner, max_size=3)),
        st.builds(lambda items, body: f"for x in {items}:\n{_indent(body)}", EXPRESSIONS, st.lists(inner, max_size=3)),
        st.builds(lambda body: f"with torch.no_grad():\n{_indent(body)}", st.lists(inner, max_size=3)),
        st.builds(lambda body: f"try:\n{_indent(body)}except E:\n    pass\n", st.lists(inner, max_size=3)),
    ),
    max_leaves=5,
)


def _module(made: list[str], passed: list[str], rest: list[str]) -> str:
    init = "def __init__(self, norm_layer=nn.BatchNorm2d):\n" + _indent(made)
    forward = "def forward(self, x):\n" + _indent(passed)
    return f"{HEAD}class Net(nn.Module):\n{_indent([init, forward])}\ndef main(model, loader):\n{_indent(rest)}"


BLOCK = st.lists(STATEMENTS, max_size=4)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.builds(_module, BLOCK, BLOCK, BLOCK))
def test_random_modules_end(text: str) -> None:
    ast.parse(text)
    report = lint_source(text, "a.py")
    length = text.count("\n") + 1
    assert all(finding.code != "NF902" for finding in report.findings)
    assert all(1 <= (finding.line or 0) <= length for finding in report.findings)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_any_text_ends(text: str) -> None:
    assert isinstance(lint_source(HEAD + text, "a.py"), Report)


@settings(max_examples=50, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)))
def test_any_json_as_a_notebook_ends(value: object) -> None:
    import json

    for text in (json.dumps(value), json.dumps({"cells": value}), json.dumps({"cells": [value]})):
        assert isinstance(lint_source(text, "a.ipynb"), Report)
