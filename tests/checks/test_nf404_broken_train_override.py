"""NF404 broken-train-override: look-alikes first, then the misuse in its spellings."""

import textwrap

import pytest
from source_findings import fires, fixed, report, silent

from normfix.checks import nf404_broken_train_override as rule
from normfix.findings import AddParameter, InsertStatement, ReplaceExpression, Together


def method(text: str, base: str = "nn.Module", rest: str = "") -> str:
    body = textwrap.indent(textwrap.dedent(text), "    ")
    return f"class Net({base}):\n{body}\n{textwrap.indent(rest, '    ')}"


GOOD = """
def train(self, mode=True):
    super().train(mode)
    self.bn.eval()
    return self
"""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(method(GOOD), id="as it should be"),
        pytest.param(method("def train(self, mode: bool = True):\n    return super().train(mode)"), id="in one line"),
        pytest.param(method("def train(self, mode=True):\n    return self"), id="frozen on purpose"),
        pytest.param(method("def train(self, mode=True):\n    return super().train(False)"), id="always in eval mode"),
        pytest.param(
            method("def train(self, mode=True):\n    return nn.Module.train(self, False)"), id="eval mode by its class"
        ),
        pytest.param(
            method("def train(self, mode=True):\n    self.training = False\n    self.bn.eval()\n    return self"),
            id="eval mode by hand",
        ),
        pytest.param(
            method(
                "def train(self, mode=True):\n    for m in self.children():\n        m.train(mode)\n    return self"
            ),
            id="without super",
        ),
        pytest.param(method("def train(self, *args):\n    return super().train(*args)"), id="arguments handed on"),
        pytest.param(method("def train(self):\n    raise NotImplementedError"), id="forbidden"),
        pytest.param(method("@property\ndef train(self):\n    return 1"), id="a property"),
        pytest.param(method("@staticmethod\ndef train():\n    pass"), id="a static method"),
        pytest.param(
            method("def train(self, loader):\n    for x in loader:\n        loss(x).backward()", "Trainer"),
            id="a trainer",
        ),
        pytest.param(method("def train(self):\n    pass", "object"), id="no module"),
        pytest.param(method("def train(self):\n    pass", "LightningDataModule"), id="a data module"),
        pytest.param(
            method("def train(self):\n    super().train()", rest="def eval(self):\n    pass"), id="its own eval"
        ),
        pytest.param(method("def train_step(self):\n    pass"), id="another name"),
        pytest.param("def train(model):\n    model.train()", id="a function"),
        pytest.param(
            method("def train(self, mode=True, freeze=False):\n    super().train(mode)\n    return self"),
            id="more options",
        ),
        pytest.param(
            method(
                "def train(self, mode=True):\n    self.training = mode\n    for part in self.children():\n"
                "        part.train(mode)\n    return self"
            ),
            id="the flag is set by hand",
        ),
        pytest.param(
            method("def train(self, mode=True):\n    nn.Module.train(self, mode)\n    self.bn.eval()\n    return self"),
            id="the method of the base by its name",
        ),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("def train(self):  # here\n    super().train()\n    self.bn.eval()", id="no mode"),
        pytest.param("def train(self):  # here\n    self.training = True\n    return self", id="no mode, no super"),
        pytest.param("def train(self, mode=True):  # here\n    super().train()\n    return self", id="mode is dropped"),
        pytest.param(
            "def train(self, mode=True):  # here\n    super(Net, self).train()\n    return self", id="old super"
        ),
        pytest.param(
            "def train(self, mode=True):  # here\n    super().train(mode)\n    self.bn.eval()", id="no return"
        ),
        pytest.param("def train(self, mode=True):  # here\n    self.bn.eval()\n    return self", id="mode is not used"),
        pytest.param("def train(self, data, epochs, lr):  # here\n    pass", id="another meaning"),
        pytest.param(
            "def train(self, loader):  # here\n    for x in loader:\n        self(x).sum().backward()",
            id="a training loop",
        ),
        pytest.param("def train(self, mode=True):  # here\n    pass", id="nothing"),
        pytest.param(
            method("def train(self, mode=True):  # here\n    self.a.train(mode)\n    self.b.eval()\n    return self"),
            id="parts are switched, the module is not",
        ),
    ],
)
@pytest.mark.parametrize("base", ["nn.Module", "torch.nn.Sequential", "pl.LightningModule"])
def test_found(text: str, base: str) -> None:
    fires(rule, method(text, base), "error")


def test_the_remedy_adds_what_is_missing() -> None:
    (finding,) = report(rule, method("def train(self):\n    super().train()\n    self.bn.eval()")).findings
    assert isinstance(finding.remedy, Together)
    assert [type(part) for part in finding.remedy.parts] == [AddParameter, ReplaceExpression, InsertStatement]


def test_a_return_on_the_way_is_left_to_its_author() -> None:
    text = method(
        "def train(self, mode=True):\n    super().train(mode)\n    if mode:\n        return\n    self.bn.eval()"
    )
    assert fixed(rule, text) == text and report(rule, text).findings


def test_a_trainer_that_is_a_module_takes_no_mode() -> None:
    text = method("def train(self, log_fn=print):  # here\n    while self.steps:\n        log_fn(self.train_step())")
    fires(rule, text, "error")
    (finding,) = report(rule, text).findings
    assert "takes `log_fn` and no mode" in finding.message


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            method(
                "def train(self, mode=True):\n    super().train(mode)\n    if mode:\n        self.c = 0\n"
                "    return self"
            ),
            id="the mode is handed on",
        ),
        pytest.param(
            method(
                "def train(self, mode=True):\n    super().train()\n    if not mode:\n        self.eval()\n"
                "    return self"
            ),
            id="another switch follows",
        ),
        pytest.param(
            method("def train(self, mode=True):\n    if mode:\n        super().train()\n    return self"),
            id="only where the mode says so",
        ),
        pytest.param(
            method("def train(self, mode=True):\n    super().train()\n    self.training = mode\n    return self"),
            id="the flag is set by hand",
        ),
        pytest.param(method("@cached\ndef train(self):\n    return 1"), id="a decorator that may change everything"),
    ],
)
def test_a_mode_that_is_used_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            method(
                "def train(self, mode=True):  # here\n    super().train()\n"
                "    if mode:\n        self.c = 0\n    return self"
            ),
            id="a mode that is used, but not handed on",
        ),
        pytest.param(
            method("@torch.no_grad()\ndef train(self):  # here\n    super().train()\n    return self"),
            id="under no_grad",
        ),
    ],
)
def test_a_mode_that_is_used_found(text: str) -> None:
    fires(rule, text)
