"""NF406 hard-coded-mode: look-alikes first, then the misuse in its spellings, then live models."""

import pytest
from source_findings import fires, report, silent

from normfix import engine
from normfix.checks import nf406_hard_coded_mode as rule
from normfix.findings import SetArgument
from normfix.graph import Argument, Call, Layer, LayerGraph, Unknown


def forward(text: str, name: str = "Norm", base: str = "nn.Module", before: str = "") -> str:
    return f"class {name}({base}):\n    def forward(self, x):\n{before}        return {text}\n"


STATS = "self.mean, self.var, self.weight, self.bias"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(forward(f"F.batch_norm(x, {STATS}, training=self.training)"), id="follows the mode"),
        pytest.param(forward(f"F.batch_norm(x, {STATS}, self.training or not self.tracks)"), id="a computed flag"),
        pytest.param(forward(f"F.batch_norm(x, {STATS}, **options)"), id="options that are not seen"),
        pytest.param(forward("F.batch_norm(x, None, None, training=True)"), id="no running statistics"),
        pytest.param(forward(f"F.batch_norm(x, {STATS})", "FrozenBatchNorm2d"), id="frozen by name"),
        pytest.param(
            forward("F.batch_norm(x, mean, var)", before="        var, mean = torch.var_mean(x, [0, 2])\n"),
            id="statistics that are computed here",
        ),
        pytest.param(forward(f"F.batch_norm(x, {STATS})", base="object"), id="no module"),
        pytest.param(f"def norm(x):\n    return F.batch_norm(x, {STATS})", id="a function"),
        pytest.param(
            forward(
                f"F.batch_norm(x, {STATS}, training=False)", before="        if self.training:\n            return x\n"
            ),
            id="a branch on the mode",
        ),
        pytest.param(
            forward(
                "x", before=f"        if len(x) == 1:\n            return F.batch_norm(x, {STATS}, training=False)\n"
            ),
            id="one case of several",
        ),
        pytest.param(forward("F.layer_norm(x, x.shape[1:])"), id="layer norm has no modes"),
        pytest.param("def batch_norm(*a):\n    pass\n" + forward(f"batch_norm(x, {STATS})"), id="another function"),
        pytest.param(forward("self.bn(x)"), id="a module"),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(forward(f"F.batch_norm(x, {STATS}, training=True)  # here"), id="always on"),
        pytest.param(forward(f"F.batch_norm(x, {STATS}, training=False)  # here"), id="always off"),
        pytest.param(forward(f"F.batch_norm(x, {STATS})  # here"), id="left out"),
        pytest.param(forward(f"F.batch_norm(x, {STATS}, True, 0.1)  # here"), id="positional"),
        pytest.param(forward(f"torch.nn.functional.batch_norm(x, {STATS}, training=True)  # here"), id="in full"),
        pytest.param(
            forward("F.batch_norm(x, running_mean=self.m, running_var=self.v, training=True)  # here"), id="keywords"
        ),
        pytest.param(
            "from torch.nn.functional import batch_norm as bn\n" + forward(f"bn(x, {STATS}, training=True)  # here"),
            id="by name",
        ),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "info")


def test_the_remedy_knows_a_positional_flag() -> None:
    (finding,) = report(rule, forward(f"F.batch_norm(x, {STATS}, True)")).findings
    assert isinstance(finding.remedy, SetArgument)
    assert finding.remedy.position == 5


def check(training: bool, mode: bool, mean: object = Unknown("a tensor"), purpose: str | None = None) -> list[str]:
    layer = Layer("batch_norm", "batch_norm", arguments={"running_mean": Argument(mean)}, training=mode)
    graph = LayerGraph("Net", calls=[Call(layer, training=training)])
    found = engine.run(engine.Facts("model", purpose=purpose), [rule.mode_of_another], [graph]).findings
    return [str(one.severity) for one in found]


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(check(False, False), id="both in eval mode"),
        pytest.param(check(True, True), id="both in training mode"),
        pytest.param(check(True, False, None), id="no running statistics"),
    ],
)
def test_live_silent(found: list[str]) -> None:
    assert found == []


def test_live_found() -> None:
    assert check(True, False) == ["info"]
    assert check(True, False, purpose="inference") == ["error"]


COPIED = (
    "        if self.training and self.track_running_stats:\n            self.num_batches_tracked += 1\n"
    "            exponential_average_factor = 0.1\n"
)


def test_batches_that_are_counted_as_torch_does() -> None:
    fires(rule, forward(f"F.batch_norm(x, {STATS}, True)  # here", before=COPIED))
    silent(rule, forward(f"F.batch_norm(x, {STATS}, self.training)", before=COPIED))
    silent(rule, forward(f"F.batch_norm(x, {STATS}, True)", before=COPIED + "            return x\n"))
