"""NF403 uncalled-mode: look-alikes first, then the misuse in its spellings."""

import pytest
from source_findings import NET, fires, report, silent

from normfix.checks import nf403_uncalled_mode as rule
from normfix.findings import CompleteCall, Safety


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("model.eval()", id="called"),
        pytest.param("switch = model.train", id="the method is kept"),
        pytest.param("switch(model.eval)", id="the method is handed on"),
        pytest.param("evaluator.eval(data)", id="an evaluator runs"),
        pytest.param("evaluator.eval", id="an evaluator holds something called eval"),
        pytest.param("dataset.train", id="a part of a data set"),
        pytest.param("index.train", id="an index that is trained"),
        pytest.param("self.cfg.train", id="a section of a configuration"),
        pytest.param("args.eval", id="a command line flag"),
        pytest.param("import pkg\npkg.train", id="a submodule that an import brought"),
        pytest.param("state.train = 1\nstate.train", id="a data attribute"),
        pytest.param("class D:\n  pass\nd = D()\nd.train", id="an object of a class that is no module"),
        pytest.param("class D:\n  def f(self):\n    self.train", id="self is no module"),
        pytest.param("try:\n  model.eval\nexcept AttributeError:\n  pass", id="a probe"),
        pytest.param("import pytest\nwith pytest.raises(AttributeError):\n  model.eval", id="expected to fail"),
        pytest.param("model.train is None", id="compared"),
        pytest.param("(model.eval, model.train)", id="a tuple"),
        pytest.param("load().eval", id="the result of an unknown call"),
        pytest.param("model.evaluate", id="another attribute"),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("model.eval  # here", id="eval"),
        pytest.param("model.train  # here", id="train"),
        pytest.param("class T:\n  def f(self):\n    self.model.eval  # here", id="self.model"),
        pytest.param("model.module.eval  # here", id="behind DataParallel"),
        pytest.param("model.to(device).eval  # here", id="behind a chain"),
        pytest.param("with torch.no_grad():\n  net.eval  # here", id="under no_grad"),
        pytest.param("for epoch in range(9):\n  net.train  # here\n  step(net)", id="in an epoch loop"),
        pytest.param(NET + "net = Net()\nnet.eval  # here", id="an object of a module class"),
        pytest.param("optimizer.zero_grad  # here", id="zero_grad"),
        pytest.param("model.cuda  # here", id="cuda"),
        pytest.param("class M(nn.Module):\n  def f(self):\n    self.eval  # here", id="self is a module"),
        pytest.param("netG.eval;  # here", id="a semicolon"),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "error")


def test_the_remedy_completes_the_call() -> None:
    (finding,) = report(rule, "model.eval").findings
    assert isinstance(finding.remedy, CompleteCall)
    assert finding.safety is Safety.SAFE
    assert (finding.line, finding.column, finding.end_column) == (5, 1, 11)
