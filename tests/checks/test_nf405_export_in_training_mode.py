"""NF405 export-in-training-mode: look-alikes first, then the misuse in its spellings, then artefacts."""

import pytest
from source_findings import NET, PLAIN, fires, silent

from normfix import engine
from normfix.checks import nf405_export_in_training_mode as rule
from normfix.graph import Call, Layer, LayerGraph, Unknown

EXPORT = "torch.onnx.export(net, x, 'n.onnx')"
TRAINING = "torch.onnx.export(net, x, 'n.onnx', training=torch.onnx.TrainingMode.TRAINING)"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"net.train()\nfit(1)\nnet.eval()\n{EXPORT}", id="eval after the training"),
        pytest.param(f"net.train(False)\n{EXPORT}", id="train(False)"),
        pytest.param(f"net.train(flag)\nnet.eval()\n{EXPORT}", id="a computed mode, then eval"),
        pytest.param(f"if args.train:\n    net.train()\nelse:\n    {EXPORT}", id="another branch"),
        pytest.param(f"{EXPORT}\nnet.train()", id="train after the export"),
        pytest.param(EXPORT, id="no switch at all is for missing-eval"),
        pytest.param("torch.onnx.export(net, x, f, training=torch.onnx.TrainingMode.EVAL)", id="eval is asked for"),
        pytest.param("net.train()\ntorch.onnx.export(net, x, f, dynamo=False)", id="the old exporter switches itself"),
        pytest.param("torch.onnx.export(net, x, f, training=mode)", id="a mode that is computed"),
        pytest.param(
            "net.eval()\ntorch.onnx.export(net, x, f, training=TrainingMode.PRESERVE)", id="eval is preserved"
        ),
        pytest.param(f"from onnxruntime.training import artifacts\n{TRAINING}", id="training on the device"),
        pytest.param(f"import pytest\n{TRAINING}", id="a unit test"),
        pytest.param(f"def val(m):\n    m.eval()\nnet.train()\nval(net)\n{EXPORT}", id="a helper calls eval"),
        pytest.param(f"from lib import val\nnet.train()\nval(net)\n{EXPORT}", id="an imported helper may call it"),
        pytest.param("net.train()\ntorch.jit.script(net)", id="a script obeys eval later"),
        pytest.param(PLAIN + f"net = Net()\nnet.train()\n{EXPORT}", id="nothing that depends on the mode"),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(TRAINING + "  # here", id="asked for"),
        pytest.param(
            "from torch.onnx import export, TrainingMode\nexport(net, x, f, training=TrainingMode.TRAINING)  # here",
            id="imported by name",
        ),
        pytest.param(f"net.train()\n{EXPORT}  # here", id="train before the export"),
        pytest.param("dump  =  torch.onnx.export\nnet.train()\ndump(net, x, f)  # here", id="another name"),
        pytest.param(
            "from torch.onnx import export as dump\nnet.train()\ndump(net, x, f)  # here", id="imported by another name"
        ),
        pytest.param("net.train()\ntorch.jit.trace(net, x)  # here\nnet.eval()", id="eval only after the trace"),
        pytest.param("net.train()\np = torch.export.export(net, (x,))  # here", id="torch.export"),
        pytest.param(f"net.eval()\nnet.train(True)\n{EXPORT}  # here", id="train after eval"),
        pytest.param(
            f"for e in range(9):\n    net.train()\n    step(1)\n{EXPORT}  # here", id="after the training loop"
        ),
        pytest.param(
            "net.train()\ntorch.onnx.export(net, x, f, training=TrainingMode.PRESERVE)  # here", id="preserved"
        ),
        pytest.param(NET + f"net = Net().to('cuda')\nnet.train()\n{EXPORT}  # here", id="a network that is seen"),
        pytest.param(
            f"def fit(m):\n    m.train()\n    step(m.loss)\nfit(net)\n{EXPORT}  # here", id="trained in a helper"
        ),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "warning")


def check(training: bool | Unknown, reader: str = "onnx", purpose: str | None = None, kind: str = "BatchNorm2d") -> int:
    graph = LayerGraph("g", calls=[Call(Layer(kind, "/bn"), training=training)])
    return len(engine.run(engine.Facts(reader, purpose=purpose), [rule.written_in_training_mode], [graph]).findings)


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(check(False), id="in eval form"),
        pytest.param(check(Unknown("no attribute")), id="not known"),
        pytest.param(check(True, purpose="training"), id="meant for training"),
        pytest.param(check(True, kind="LayerNorm"), id="a norm without modes"),
    ],
)
def test_artefacts_silent(count: int) -> None:
    assert count == 0


@pytest.mark.parametrize("reader", ["onnx", "pt2"])
def test_artefacts_found(reader: str) -> None:
    assert check(True, reader) == 1
