"""Odd code is read without a crash or a hang, and without a claim."""

import pytest
from reading import HEAD, graph_of, graphs_of, net, redundant

from normfix.graph import Undecided

CONV_BN = "self.conv = nn.Conv2d(3, 8, 3)\nself.bn = nn.BatchNorm2d(8)"


def test_a_sum_of_600_terms_is_given_up_and_its_terms_escape() -> None:
    terms = " + ".join(["y"] * 600)
    graph = graph_of(net(CONV_BN, f"y = self.conv(x)\nz = {terms}\nreturn self.bn(y) + z"))
    conv = next(call for call in graph.calls if call.kind == "Conv2d")
    with pytest.raises(Undecided):
        graph.only_reader(conv)


def test_150_nested_parentheses() -> None:
    assert redundant(graphs_of(net(CONV_BN, "return self.bn(" + "(" * 150 + "self.conv(x)" + ")" * 150 + ")"))) == {
        "self.conv"
    }


def test_nested_calls_beyond_the_depth_that_is_followed() -> None:
    text = net(CONV_BN, "return " + "F.relu(" * 90 + "self.bn(self.conv(x))" + ")" * 90)
    assert redundant(graphs_of(text)) == set()


def test_hundreds_of_branches() -> None:
    branches = "\n".join(f"if self.f{i}:\n    x = F.relu(x)" for i in range(300))
    assert redundant(graphs_of(net(CONV_BN, f"x = self.bn(self.conv(x))\n{branches}\nreturn x"))) == {"self.conv"}


def test_hundreds_of_early_returns() -> None:
    returns = "\n".join(f"if self.f{i}:\n    return x" for i in range(300))
    assert redundant(graphs_of(net(CONV_BN, f"x = self.conv(x)\n{returns}\nreturn self.bn(x)"))) == set()


def test_a_long_elif_chain() -> None:
    chain = "if self.k == 0:\n    x = F.relu(x)\n" + "\n".join(
        f"elif self.k == {i}:\n    x = F.relu(x)" for i in range(300)
    )
    assert redundant(graphs_of(net(CONV_BN, f"x = self.bn(self.conv(x))\n{chain}\nreturn x"))) == {"self.conv"}


def test_branches_that_double_a_list() -> None:
    doubling = "\n".join(f"layers = layers + [nn.ReLU()] if a{i} else layers" for i in range(40))
    text = net(
        f"layers = [nn.Conv2d(3, 8, 3)]\n{doubling}\nself.net = nn.Sequential(*layers, nn.BatchNorm2d(8))",
        "return self.net(x)",
    )
    assert redundant(graphs_of(text)) == set()


def test_nested_loops_and_recursion() -> None:
    text = net(CONV_BN, "for a in x:\n for b in a:\n  for c in b:\n   x = self.again(c)\nreturn self.bn(self.conv(x))")
    assert (
        redundant(graphs_of(text + "    def again(self, x):\n        return self.again(x) + self.forward(x)\n"))
        == set()
    )


def test_classes_that_construct_each_other() -> None:
    graphs = graphs_of("""
        class A(nn.Module):
            def __init__(self):
                self.b, self.norm = B(), nn.BatchNorm2d(3)
        class B(nn.Module):
            def __init__(self):
                self.a, self.norm = A(), nn.BatchNorm2d(3)
        class C(C):
            def forward(self, x):
                return nn.LayerNorm(3)(x)
    """)
    assert [graph.name for graph in graphs] == ["A", "B", "C"]


def test_a_class_too_large_to_be_followed_says_so() -> None:
    body = "\n".join(f"x = self.bn(self.conv(x)) + {i} * x" for i in range(6000))
    graph = graph_of(net(CONV_BN, body + "\nreturn x"))
    with pytest.raises(Undecided, match="too large"):
        graph.calls_of(graph.layers[0])


ODD = {
    "star arguments": "self.bn(*self.conv(x))",
    "keyword spread": "self.bn(**self.conv(x))",
    "a walrus": "(y := self.conv(x)) + self.bn(y)",
    "an await": "self.bn(await_(self.conv(x)))",
    "a slice of a layer": "self.conv[1:](x)",
    "a call of a number": "3(x)",
    "arithmetic on modules": "self.conv + self.bn",
    "a comparison chain": "0 < self.conv(x) < 1",
    "a set of tensors": "{self.conv(x), x}",
    "a dict comprehension": "{k: self.conv(k) for k in x}",
    "an f-string": "f'{self.conv(x)!r:>{self.bn}}'",
    "a lambda that is called": "(lambda y: self.bn(y))(self.conv(x))",
    "a huge number": "self.bn(x) * 10 ** 10 ** 10",
    "a division by zero": "self.bn(x) * (1 // 0)",
    "a huge list": "self.bn(x) * len([0] * 10 ** 9)",
    "an ellipsis": "self.conv(x)[..., None]",
    "a string of layers": "'conv'.join(self.conv)",
    "a property of nothing": "None.conv(x)",
    "super without a class": "super().nothing(x)",
    "a generator": "sum(self.conv(y) for y in x)",
}


@pytest.mark.parametrize("expression", ODD.values(), ids=ODD)
def test_odd_expressions(expression: str) -> None:
    assert graph_of(net(CONV_BN, f"return {expression}")).layers


STATEMENTS = {
    "globals": "global y\ny = self.conv(x)\nreturn self.bn(y)",
    "nonlocal": "def inner():\n    nonlocal x\n    x = self.bn(x)\nx = self.conv(x)\ninner()\nreturn x",
    "a yield": "y = self.conv(x)\nyield y\nreturn self.bn(y)",
    "del": "y = self.conv(x)\ndel y\nreturn self.bn(x)",
    "with as": "with open(self.conv(x)) as y:\n    return self.bn(y)",
    "while else": "while x.sum():\n    x = self.conv(x)\nelse:\n    x = self.bn(x)\nreturn x",
    "try finally": "try:\n    y = self.conv(x)\nfinally:\n    x = self.bn(x)\nreturn x + y",
    "starred targets": "a, *b = self.conv(x)\nreturn self.bn(b)",
    "a class inside": "class Inner:\n    y = self.conv(x)\nreturn self.bn(x)",
    "an import inside": "import torch as t\nreturn t.relu(self.bn(x))",
    "a subscript of self": "self[0] = self.conv(x)\nreturn self.bn(x)",
    "a bare raise": "raise",
}


@pytest.mark.parametrize("body", STATEMENTS.values(), ids=STATEMENTS)
def test_odd_statements_claim_nothing(body: str) -> None:
    assert redundant(graphs_of(net(CONV_BN, body))) == set()


def test_odd_classes() -> None:
    graphs_of("""
        class Empty(nn.Module): norm = None
        class NoSelf(nn.Module):
            def __init__(): norm = nn.LayerNorm(3)
            def forward(*args, **kwargs): return args[0].norm(kwargs)
        class Meta(nn.Module, metaclass=object, norm=1):
            def forward(self, /, x, *, norm=None): return norm(x)
        @decorated(nn.LayerNorm(3))
        class Decorated(make_base(nn.LayerNorm)):
            @staticmethod
            def forward(x): return nn.LayerNorm(3)(x)
            @property
            def norm(self): return self.norm
            @classmethod
            def build(cls): return cls(nn.LayerNorm(3))
    """, HEAD)  # fmt: skip
