"""What cannot be captured: refused by name, or read as far as it goes, with the reason."""

import importlib
import os

import pytest
import torch
from torch import nn

from normfix.errors import UsageError
from normfix.graph import Undecided
from normfix.readers.live import failures
from normfix.readers.model import capture


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm1d(4)

    def forward(self, x):
        if x.sum() > 0:
            return self.bn(x)
        return x


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param(object(), "no torch.nn.Module", id="not-a-module"),
        pytest.param(nn.Sequential(nn.LazyConv2d(4, 3)), "run one forward pass first", id="lazy-conv"),
        pytest.param(nn.LazyBatchNorm2d(), "has no shape yet", id="lazy-batch-norm-at-the-root"),
        pytest.param(
            type("FullyShardedDataParallel", (nn.Module,), {})(), "parameters are spread", id="sharded-by-name"
        ),
    ],
)
def test_refused_by_name(model, message):
    with pytest.raises(UsageError, match=message):
        capture(model, torch.randn(2, 3, 8, 8))


@pytest.mark.parametrize("inputs", [(torch.randn(2, 4),), ()], ids=["with-inputs", "without-inputs"])
def test_a_branch_on_values_gives_layers_and_names_the_line(inputs):
    found = capture(Branching(), *inputs)
    assert [layer.name for layer in found.graph.layers] == ["bn"]
    assert "test_model_refusals.py:" in found.reason
    assert "if x.sum() > 0:" in found.reason
    with pytest.raises(Undecided, match="are not known"):
        found.graph.calls_of(found.graph.layers[0])


def test_a_line_of_a_package_whose_name_begins_like_torch_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(failures, "_TORCH", f"{tmp_path / 'torch'}{os.sep}")
    package = tmp_path / "torchlike"
    package.mkdir()
    (package / "branching_network.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Module):\n    def forward(self, x):\n"
        "        return x if x.sum() > 0 else -x\n"
    )
    monkeypatch.syspath_prepend(package)
    found = capture(importlib.import_module("branching_network").Net(), torch.randn(2, 4))
    assert "at branching_network.py:6 `return x if x.sum() > 0 else -x`" in found.reason


def test_a_script_module_is_open_with_its_reason():
    with pytest.warns(DeprecationWarning):
        scripted = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    found = capture(scripted, torch.randn(2, 3, 8, 8))
    assert found.graph.open is not None
    assert "TorchScript" in found.graph.open.reason
    assert {layer.kind for layer in found.graph.layers} == {"unknown"}


@pytest.mark.parametrize(
    ("wrap", "name"),
    [
        pytest.param(nn.DataParallel, "DataParallel", id="data-parallel"),
        pytest.param(torch.compile, "OptimizedModule", id="torch-compile"),
    ],
)
def test_wrappers_come_off_and_are_named(wrap, name):
    inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    found = capture(wrap(inner), torch.randn(2, 3, 8, 8))
    assert found.model is inner
    assert found.wrappers == (name,)
    assert [call.kind for call in found.graph.calls] == ["input", "Conv2d", "BatchNorm2d"]


def test_a_module_compiled_in_place_is_captured():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    model.compile()
    found = capture(model, torch.randn(2, 3, 8, 8))
    assert found.reason == ""
    assert model._compiled_call_impl is not None


def test_a_hook_that_computes_is_not_taken_for_the_layer():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    model[0].register_forward_hook(lambda module, arguments, output: output.relu())
    found = capture(model, torch.randn(2, 3, 8, 8))
    assert [call.kind for call in found.graph.calls if call.kind != "constant"] == [
        "input",
        "conv2d",
        "relu",
        "BatchNorm2d",
    ]
    assert found.graph.layers[0].kind == "unknown"
    assert "hooks" in found.graph.layers[0].reason


def test_a_hook_that_only_looks_makes_the_result_escape():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    model[0].register_forward_hook(lambda module, arguments, output: None)
    graph = capture(model, torch.randn(2, 3, 8, 8)).graph
    assert graph.calls[1].kind == "Conv2d"
    with pytest.raises(Undecided, match="hook"):
        graph.readers(graph.calls[1])


class Doubling(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) * 2


class Plain(nn.Conv2d):
    def __init__(self, width):
        super().__init__(width, width, 1)


def test_a_subclass_with_its_own_forward_is_unknown_by_its_name():
    graph = capture(nn.Sequential(Doubling(3, 4, 3)), torch.randn(2, 3, 8, 8)).graph
    layer = graph.layers[0]
    assert layer.kind == "unknown"
    assert "Doubling` is a Conv2d with its own `forward`" in layer.reason
    assert [call.kind for call in graph.calls if call.kind != "constant"] == ["input", "conv2d", "mul"]


def test_a_subclass_that_inherits_the_computation_keeps_the_kind():
    graph = capture(nn.Sequential(Plain(3)), torch.randn(2, 3, 8, 8)).graph
    assert [call.kind for call in graph.calls] == ["input", "Conv2d"]


def test_a_forward_replaced_on_the_object_is_unknown():
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    model[0].forward = lambda x: x * 2
    graph = capture(model, torch.randn(2, 3, 8, 8)).graph
    assert "replaced" in graph.layers[0].reason
    assert [call.kind for call in graph.calls] == ["input", "mul"]


class Misfit(nn.Module):
    """Its second norm does not fit what reaches it."""

    def __init__(self, branching):
        super().__init__()
        self.conv = nn.Conv1d(2, 3, 3)
        self.first = nn.BatchNorm1d(3)
        self.second = nn.LayerNorm(5)
        self.branching = branching

    def forward(self, x):
        x = self.first(self.conv(x)).relu()
        if self.branching and x.shape[0] > 1:
            x = x + 1
        return self.second(x)


@pytest.mark.parametrize("branching", [False, True], ids=["edges-from-fx", "no-edges-at-all"])
def test_shapes_are_known_up_to_the_norm_that_does_not_fit(branching):
    model = Misfit(branching)
    found = capture(model, torch.randn(2, 2, 9))
    assert "normalized_shape" in found.reason
    assert found.program is None
    assert (found.graph.open is not None) is branching
    norms = [call for call in found.graph.calls if "Norm" in call.kind]
    assert [(call.kind, call.input_shape()) for call in norms] == [
        ("BatchNorm1d", (2, 3, 7)),
        ("LayerNorm", (2, 3, 7)),
    ]
    assert norms[0].producer().kind == "Conv1d"
    assert norms[0].training is True
    assert norms[1].inputs[0].kind == ("unknown" if branching else "relu")
    assert model.first.num_batches_tracked == 0


def test_a_tensor_changed_in_place_is_not_taken_for_the_layers_result():
    class Changing(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(2, 3, 3)
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x):
            x = self.conv(x)
            x.relu_()
            x = self.norm(x)
            return x if x.sum() > 0 else -x

    found = capture(Changing(), torch.randn(2, 2, 9))
    assert found.graph.open is not None
    norm = next(call for call in found.graph.calls if call.kind == "BatchNorm1d")
    assert norm.inputs[0].kind == "unknown"
    assert norm.input_shape() == (2, 3, 7)
