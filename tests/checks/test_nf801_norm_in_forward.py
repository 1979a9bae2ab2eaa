"""NF801 norm-in-forward: look-alikes first, then the misuse in its spellings."""

import textwrap

import pytest
from source_findings import fires, fixed, report, silent

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


@pytest.mark.parametrize(
    ("header", "text"),
    [
        pytest.param("from torch.nn import LayerNorm as LN", "return LN(8)(x)", id="a short name"),
        pytest.param("from torch.nn import LayerNorm as MyNorm", "return MyNorm(8)(x)", id="a name like others"),
        pytest.param("from torch.nn import LayerNorm as Dropout", "return Dropout(8)(x)", id="the name of another"),
        pytest.param("Norm = nn.LayerNorm", "return Norm(8)(x)", id="a name of the file"),
        pytest.param("", "return nn. \\\n  LayerNorm \\\n  (8)(x)", id="over lines"),
        pytest.param("", "return (nn\n # norms\n .LayerNorm(8)(self.LayerNorm(x)))", id="beside a layer"),
        pytest.param("", "return nn.LayerNorm(8)(x)\n\f\nA = 1\n", id="ahead of a form feed"),
    ],
)
def test_found_under_any_name_and_in_any_layout(header: str, text: str) -> None:
    program = f"{header}\n{forward(text)}"
    assert len(report(rule, program).findings) == len(report(rule, program.replace("\n", "\r\n")).findings) == 1


def net(text: str, stored: str = "", base: str = "nn.Module") -> str:
    return (
        f"class Net({base}):\n    def __init__(self):\n        super().__init__()\n        self.width = 8  # of all\n"
        f"{stored}        self.reset()\n\n    def forward(self, x):\n" + textwrap.indent(text, "        ") + "\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(net("return nn.BatchNorm2d(x.shape[1])(x)"), id="a width of the input"),
        pytest.param(net("return nn.BatchNorm2d(self.width)(x)"), id="a width that may change later"),
        pytest.param(net("for _ in y:\n    x = nn.BatchNorm2d(8)(x)\nreturn x"), id="one for each round"),
        pytest.param(net("return [nn.BatchNorm2d(8)(y) for y in x]"), id="one for each item"),
        pytest.param(net("f = lambda y: nn.BatchNorm2d(8)(y)\nreturn f(f(x))"), id="one for each call"),
        pytest.param(net("return nn.BatchNorm2d(8).to(x.device)(x)"), id="moved before it is called"),
        pytest.param(net("return nn.BatchNorm2d(8)(x)", base="Base, nn.Module"), id="what the base does is not seen"),
        pytest.param(forward("return nn.BatchNorm2d(8)(x)"), id="no constructor"),
        pytest.param(net("return nn.BatchNorm2d(  # why\n    8)(x)"), id="a comment inside"),
        pytest.param(net("drop = nn.Dropout(0.1)\nreturn drop(drop(x))"), id="a dropout with a name"),
        pytest.param(net("return nn.Dropout(0.1, True)(x)"), id="in place"),
        pytest.param(net("return nn.Dropout(*rates)(x)"), id="a starred rate"),
        pytest.param(net("return nn.Dropout(0.1)(input=x)"), id="by keyword"),
        pytest.param(net("B, F, T = x.shape\nreturn nn.Dropout(0.1)(x)"), id="a size is called as the functions are"),
        pytest.param(
            "class Net(nn.Module):\n    def __init__(self):\n        self.width = 8\n        super().__init__()\n\n"
            "    def forward(self, x):\n        return nn.BatchNorm2d(8)(x)\n",
            id="attributes are set before that of a module can be",
        ),
    ],
)
def test_found_and_left_to_its_author(text: str) -> None:
    text = "class Base: ...\n" + text
    assert fixed(rule, text) == text and report(rule, text).findings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            net("return nn.BatchNorm2d(8, eps=1e-3)(x)"),
            net("return self.norm(x)", "        self.norm = nn.BatchNorm2d(8, eps=1e-3)\n"),
            id="called at once",
        ),
        pytest.param(
            net("return nn.BatchNorm2d(8)(x) * getattr(self, 'norm')"),
            net("return self.norm2(x) * getattr(self, 'norm')", "        self.norm2 = nn.BatchNorm2d(8)\n"),
            id="a name that is taken as a string",
        ),
        pytest.param(
            net("bn = nn.LayerNorm((8, 8))\nreturn bn(x)"),
            net("bn = self.norm\nreturn bn(x)", "        self.norm = nn.LayerNorm((8, 8))\n"),
            id="under a local name",
        ),
        pytest.param(
            net("return nn.BatchNorm2d(8)(nn.GroupNorm(2, 8)(x))"),
            net(
                "return self.norm(self.norm2(x))",
                "        self.norm = nn.BatchNorm2d(8)\n        self.norm2 = nn.GroupNorm(2, 8)\n",
            ),
            id="two",
        ),
        pytest.param(
            net("return nn.Dropout(0.1)(x + 1)"), net("return F.dropout(x + 1, 0.1, self.training)"), id="dropout"
        ),
        pytest.param(net("return nn.Dropout2d()(x)"), net("return F.dropout2d(x, 0.5, self.training)"), id="default"),
        pytest.param(
            net("return nn.FeatureAlphaDropout(p=rate)(x)"),
            net("return F.feature_alpha_dropout(x, rate, self.training)"),
            id="by keyword",
        ),
        pytest.param(
            net("return nn.AlphaDropout(0.2)(x)"), net("return F.alpha_dropout(x, 0.2, self.training)"), id="alpha"
        ),
    ],
)
def test_the_layer_is_built_once(text: str, expected: str) -> None:
    assert fixed(rule, text) == expected


HELPER = (
    forward("return self.mix(x)") + "\n    def mix(self, x):\n        norm = nn.GroupNorm(2, x.shape[1]).to(x.device)"
)


def test_a_helper_of_the_forward_pass_alone() -> None:
    fires(rule, f"{HELPER}  # here\n        return norm(x)", "error")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{HELPER}\n        return norm", id="the helper gives the norm back"),
        pytest.param(f"{HELPER}\n        self.norm = norm\n        return x", id="the helper keeps it"),
        pytest.param(
            f"{HELPER}\n        return norm(x)\n    def other(self, x):\n        return self.mix(x)", id="another"
        ),
    ],
)
def test_helpers_that_are_silent(text: str) -> None:
    silent(rule, text)


def test_a_lambda_that_builds_what_it_calls() -> None:
    kept, rest = "self.norm = lambda x: nn.LayerNorm(8)(x)", "\n    def forward(self, x):\n        return self.norm(x)"
    fires(rule, forward(f"{kept}  # here", name="__init__") + rest)
    fires(rule, forward(f"if width:\n    {kept}  # here", name="__init__") + rest)
    silent(rule, forward("self.norm = lambda width: nn.LayerNorm(width)", name="__init__") + rest)
    silent(rule, forward(kept, base="object", name="__init__") + rest)
