"""NF408 toggled-tracking: look-alikes first, then the misuse in its spellings, then live models."""

import pytest
from source_findings import fires, silent

from normfix import engine
from normfix.checks import nf408_toggled_tracking as rule
from normfix.graph import Argument, Layer, LayerGraph, Site, Tensor

OFF = "bn.track_running_stats = False"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("bn.track_running_stats = True", id="switched on"),
        pytest.param(f"{OFF}\nloss(x)\nbn.track_running_stats = True", id="switched on again"),
        pytest.param(f"{OFF}\nloss(x)\nbn.track_running_stats = was", id="restored"),
        pytest.param(f"{OFF}\nloss(x)\nbn.track_running_stats ^= True", id="flipped"),
        pytest.param(f"{OFF}\nbn.running_mean = None\nbn.running_var = None", id="buffers are dropped"),
        pytest.param(
            "class B(nn.BatchNorm2d):\n    def f(self):\n        self.track_running_stats = False", id="its own"
        ),
        pytest.param("nn.BatchNorm2d(8, track_running_stats=False)", id="constructed so"),
        pytest.param(f"def fix(m: nn.InstanceNorm2d):\n    m.{OFF[3:]}", id="instance norm obeys it"),
        pytest.param("if bn.track_running_stats == False:\n    pass", id="compared"),
        pytest.param("track_running_stats = False", id="a variable"),
        pytest.param(f"import pytest\n{OFF}", id="a unit test"),
        pytest.param("setattr(bn, 'momentum', 0.1)  # track_running_stats", id="another attribute"),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{OFF}  # here", id="assigned"),
        pytest.param("self.net.bn1.track_running_stats = False  # here", id="of a part"),
        pytest.param("for m in net.modules():\n    m.track_running_stats = False  # here", id="of every module"),
        pytest.param("net.layers[0].track_running_stats = False  # here", id="by index"),
        pytest.param("setattr(bn, 'track_running_stats', False)  # here", id="setattr"),
        pytest.param(
            "def freeze(m):\n    if isinstance(m, nn.BatchNorm2d):\n        m.track_running_stats = False  # here",
            id="in a helper",
        ),
        pytest.param("a.track_running_stats = b.track_running_stats = False  # here", id="chained"),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "warning")


def check(tracks: bool, buffers: bool, kind: str = "BatchNorm2d") -> int:
    state = {"running_mean": Tensor((4,), "float32", "cpu", list)} if buffers else {}
    layer = Layer(kind, "bn", Site(module="bn"), {"track_running_stats": Argument(tracks)}, state=state)
    return len(engine.run(engine.Facts("model"), [rule.tracking_was_toggled], [LayerGraph("Net", [layer])]).findings)


def test_live() -> None:
    assert check(True, True) == 0
    assert check(False, False) == 0
    assert check(False, True) == 1
    assert check(False, True, "InstanceNorm2d") == 0
