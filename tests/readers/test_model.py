"""A captured model: its layers, its calls, and what flows between them."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, prune, weight_norm

from normfix.graph import Call, Undecided, Unknown
from normfix.readers.model import capture


def calls_of(model, *inputs, **keywords):
    found = capture(model, *inputs, **keywords)
    assert found.reason == ""
    return found.graph


def kinds(graph):
    return [call.kind for call in graph.calls]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, groups=1)
        self.bn = nn.BatchNorm2d(8, eps=1e-3)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


def test_layers_hold_their_arguments_state_and_place():
    layer = calls_of(Block(), torch.randn(2, 3, 8, 8)).layers[1]
    assert (layer.kind, layer.name, layer.owner, layer.training) == ("BatchNorm2d", "bn", "Block", True)
    assert layer.number("eps") == 1e-3
    assert layer.integer("num_features") == 8
    assert layer.flag("track_running_stats")
    assert layer.state["running_var"].shape == (8,)
    assert list(layer.state["running_var"].values()) == [1.0] * 8
    assert layer.state["weight"].names == ("bn.weight",)


def test_calls_are_collapsed_and_carry_shapes_and_lines():
    graph = calls_of(Block(), torch.randn(2, 3, 8, 8))
    assert kinds(graph) == ["input", "Conv2d", "BatchNorm2d", "relu"]
    norm = graph.calls[2]
    assert norm.producer() is graph.calls[1]
    assert norm.input_shape() == (2, 8, 8, 8)
    assert norm.dtype == "float32"
    assert norm.site.module == "bn"
    assert norm.site.origin.path.endswith("test_model.py")
    assert graph.is_output(graph.calls[3])


def test_without_inputs_there_are_edges_and_no_shapes():
    graph = calls_of(Block())
    assert kinds(graph) == ["input", "Conv2d", "BatchNorm2d", "relu"]
    assert graph.calls[2].producer() is graph.calls[1]
    assert isinstance(graph.calls[2].shape, Unknown)
    assert graph.calls[2].site.origin.path.endswith("test_model.py")


@pytest.mark.parametrize("inputs", [(torch.randn(2, 3, 8, 8),), ()], ids=["with-inputs", "without-inputs"])
def test_a_layer_called_twice_has_two_calls(inputs):
    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = Block()

        def forward(self, x):
            return self.block(x), self.block(x + 1)

    graph = calls_of(Siamese(), *inputs)
    norm = next(layer for layer in graph.layers if layer.kind == "BatchNorm2d")
    calls = graph.calls_of(norm)
    assert len(calls) == 2
    assert all(call.producer().kind == "Conv2d" for call in calls)
    assert all(len(call.inputs) == 1 for call in calls)


def test_one_object_under_two_names_is_one_layer():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.second = self.first

        def forward(self, x):
            return self.second(self.first(x))

    graph = calls_of(Twice(), torch.randn(2, 4))
    assert [layer.aliases for layer in graph.layers] == [("first", "second")]
    assert len(graph.calls_of(graph.layers[0])) == 2
    assert set(graph.layers[0].state["weight"].names) == {"first.weight", "second.weight"}


def test_tied_parameters_name_each_other():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    graph = calls_of(model, torch.randn(2, 4))
    assert set(graph.layers[0].state["weight"].names) == {"0.weight", "1.weight"}


def test_a_weight_read_elsewhere_is_a_constant():
    class Peeking(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x), F.conv2d(x, self.conv.weight), self.conv.weight.square().sum()

    graph = calls_of(Peeking(), torch.randn(2, 3, 8, 8))
    constant = next(call for call in graph.calls if call.kind == "constant")
    assert constant.layer.name == "conv.weight"
    assert {reader.kind for reader in graph.readers(constant)} == {"conv2d", "square"}


def test_a_functional_norm_keeps_its_flags():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(3))
            self.register_buffer("var", torch.ones(3))

        def forward(self, x):
            y = F.batch_norm(x, self.mean, self.var, training=True, eps=1e-3)
            return F.layer_norm(y, (5,)), F.group_norm(y, 3), F.instance_norm(y)

    graph = calls_of(Functional().eval(), torch.randn(2, 3, 5))
    norm = next(call for call in graph.calls if call.kind == "batch_norm")
    assert norm.training is True
    assert norm.layer.flag("training")
    assert norm.layer.number("eps") == 1e-3
    assert norm.layer.value("weight") is None
    assert norm.inputs[0].kind == "input"
    assert {"layer_norm", "group_norm", "instance_norm"} <= set(kinds(graph))
    instance = next(call for call in graph.calls if call.kind == "instance_norm")
    assert instance.layer.flag("use_input_stats")


@pytest.mark.parametrize("inputs", [(torch.randn(2, 3, 8, 8),), ()], ids=["with-inputs", "without-inputs"])
def test_an_in_place_activation_stands_between(inputs):
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.act = nn.ReLU(inplace=True)
            self.bn = nn.BatchNorm2d(4)

        def forward(self, x):
            y = self.conv(x)
            self.act(y)
            return self.bn(y)

    graph = calls_of(InPlace(), *inputs)
    assert graph.calls[-1].producer().kind == "ReLU"


@pytest.mark.parametrize("inputs", [(torch.randn(2, 3, 8, 8),), ()], ids=["with-inputs", "without-inputs"])
def test_a_write_through_a_view_hides_what_is_read_later(inputs):
    class Writing(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.bn = nn.BatchNorm2d(4)

        def forward(self, x):
            y = self.conv(x)
            y.transpose(1, 2).zero_()
            return self.bn(y)

    graph = calls_of(Writing(), *inputs)
    norm = next(call for call in graph.calls if call.kind == "BatchNorm2d")
    assert norm.inputs[0].kind == "unknown"
    assert "in place through a view" in norm.inputs[0].layer.reason


def test_a_region_without_gradients_belongs_to_the_graph():
    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.bn = nn.BatchNorm2d(4)

        def forward(self, x):
            with torch.no_grad():
                y = self.conv(x)
            return self.bn(y)

    graph = calls_of(Frozen(), torch.randn(2, 3, 8, 8))
    assert kinds(graph) == ["input", "Conv2d", "BatchNorm2d"]
    assert graph.calls[2].producer().kind == "Conv2d"


@pytest.mark.parametrize("wrap", [parametrizations.spectral_norm, nn.utils.spectral_norm], ids=["new", "old"])
@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
def test_a_power_iteration_is_a_part_of_its_layer(wrap, times):
    class Trained(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = wrap(nn.Conv2d(3, 3, 1))
            self.bn = nn.BatchNorm2d(3)

        def forward(self, x):
            for _ in range(times):
                x = self.conv(x)
            return self.bn(x)

    graph = calls_of(Trained().train(), torch.randn(2, 3, 8, 8))
    assert kinds(graph) == ["input", *["Conv2d"] * times, "BatchNorm2d"]
    assert [call.producer() for call in graph.calls[1:]] == graph.calls[:-1]


def test_a_part_that_several_layers_ran_is_none_of_them():
    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
            self.conv = nn.Conv2d(4, 4, 3)

        def forward(self, x):
            with torch.no_grad():
                y = self.conv(self.layers(x))
            return self.conv(y)

    graph = calls_of(Frozen(), torch.randn(2, 3, 8, 8))
    assert kinds(graph) == ["input", "Conv2d", "BatchNorm2d", "Conv2d", "Conv2d"]
    assert [call.producer() for call in graph.calls[1:]] == graph.calls[:-1]


def test_layers_with_several_results_hand_out_items():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(4, 3, batch_first=True)
            self.norm = nn.LayerNorm(3)

        def forward(self, x):
            y, (h, _) = self.lstm(x)
            return self.norm(y), h

    graph = calls_of(Recurrent(), torch.randn(2, 5, 4))
    norm = next(call for call in graph.calls if call.kind == "LayerNorm")
    assert norm.producer().kind == "getitem"
    assert norm.producer().producer().kind == "LSTM"
    assert norm.input_shape() == (2, 5, 3)


def test_attention_is_one_call():
    model = nn.MultiheadAttention(8, 2, batch_first=True)
    graph = calls_of(model, tuple(torch.randn(3, 2, 5, 8)))
    assert [kind for kind in kinds(graph) if kind not in ("input", "getitem")] == ["MultiheadAttention"]
    assert "out_proj.weight" in graph.layers[0].state


@pytest.mark.parametrize(
    ("wrap", "name"),
    [
        pytest.param(parametrizations.weight_norm, "weight_norm", id="parametrized-weight-norm"),
        pytest.param(
            lambda conv: parametrizations.weight_norm(conv, dim=1), "weight_norm(dim=1)", id="along-another-dimension"
        ),
        pytest.param(parametrizations.spectral_norm, "spectral_norm", id="parametrized-spectral-norm"),
        pytest.param(nn.utils.spectral_norm, "spectral_norm", id="old-spectral-norm"),
        pytest.param(lambda conv: prune.l1_unstructured(conv, "weight", 0.5), "prune", id="pruned"),
        pytest.param(
            weight_norm, "weight_norm", id="old-weight-norm", marks=pytest.mark.filterwarnings("ignore::FutureWarning")
        ),
    ],
)
def test_reparametrized_layers_stay_one_call_and_say_so(wrap, name):
    model = nn.Sequential(wrap(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4)).eval()
    graph = calls_of(model, torch.randn(2, 3, 8, 8))
    assert kinds(graph) == ["input", "Conv2d", "BatchNorm2d"]
    assert graph.layers[0].wrappers == (name,)


def test_norms_outside_any_registered_module_are_functional():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.norms = [nn.BatchNorm2d(3)]

        def forward(self, x):
            return self.norms[0](x)

    graph = calls_of(Hidden(), torch.randn(2, 3, 4, 4))
    norm = next(call for call in graph.calls if call.kind == "batch_norm")
    assert norm.inputs[0].kind == "input"
    assert graph.layers == []


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        pytest.param(nn.BatchNorm1d(4), (1, 4), id="batch-norm"),
        pytest.param(nn.BatchNorm2d(4, track_running_stats=False).eval(), (1, 4, 1, 1), id="batch-norm-untracked"),
        pytest.param(nn.InstanceNorm2d(4), (2, 4, 1, 1), id="instance-norm"),
        pytest.param(nn.InstanceNorm2d(4, track_running_stats=True), (2, 4, 1, 1), id="instance-norm-tracked"),
    ],
)
def test_a_norm_over_one_element_is_captured_although_it_would_raise(norm, shape):
    training = norm.training
    found = capture(nn.Sequential(norm), torch.randn(shape))
    assert found.graph.open is None
    assert found.graph.calls[1].training is True
    assert found.graph.calls[1].input_shape() == shape
    assert norm.training is training


def test_modes_are_those_of_each_call():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3), nn.BatchNorm2d(3, track_running_stats=False))
    model.train()
    model[0].eval()
    model[2].eval()
    graph = calls_of(model, torch.randn(2, 3, 4, 4))
    assert [call.training for call in graph.calls[1:]] == [False, True, True]
    assert graph.layers[2].training is False
    assert graph.layers[2].value("track_running_stats") is False


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        pytest.param(nn.BatchNorm2d(4, affine=False), {"affine": False, "bias": True}, id="no-affine-asks-for-no-bias"),
        pytest.param(nn.LayerNorm((4, 5), bias=False), {"normalized_shape": (4, 5), "bias": False}, id="layer-norm"),
        pytest.param(nn.GroupNorm(2, 4), {"num_groups": 2, "num_channels": 4, "affine": True}, id="group-norm"),
        pytest.param(nn.Conv2d(4, 8, 3, padding="same", groups=2, bias=False),
                     {"padding": "same", "groups": 2, "bias": False, "kernel_size": (3, 3)}, id="conv-with-words"),
        pytest.param(nn.RMSNorm(4), {"eps": None, "normalized_shape": (4,)}, id="rms-norm-without-eps"),
        pytest.param(nn.InstanceNorm2d(4), {"affine": False, "track_running_stats": False}, id="instance-norm"),
    ],
)  # fmt: skip
def test_arguments_are_those_of_the_constructor(module, expected):
    layer = capture(module).graph.layers[0]
    assert {name: layer.value(name) for name in expected} == expected


def test_flipped_tracking_is_seen_beside_the_buffers():
    module = nn.BatchNorm2d(4).eval()
    module.track_running_stats = False
    graph = calls_of(module, torch.randn(2, 4, 3, 3))
    layer = graph.layers[0]
    assert layer.value("track_running_stats") is False
    assert "running_mean" in layer.state
    # In eval the buffers are used all the same.
    assert graph.calls[1].training is False


def test_nested_and_keyword_inputs_and_outputs():
    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, pair, *, scale):
            return {"a": self.fc(input=pair["x"]) * scale, "b": [pair["y"]]}

    x, y, scale = torch.randn(3, 2, 4)
    graph = calls_of(Nested(), ({"x": x, "y": y},), example_kwargs={"scale": scale})
    assert kinds(graph).count("input") == 3
    assert [call.kind for call in graph.outputs] == ["mul", "input"]


def test_a_meta_model_needs_no_memory():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(1 << 15, 1 << 16), nn.LayerNorm(1 << 16))
    graph = calls_of(model, torch.randn(2, 1 << 15))
    assert graph.calls[-1].shape == (2, 1 << 16)


def test_every_call_reads_calls_that_came_before():
    graph = calls_of(Block(), torch.randn(2, 3, 8, 8))
    known: set[Call] = set()
    for call in graph.calls:
        assert all(source in known for source in call.inputs)
        known.add(call)


def test_the_nodes_of_a_call_are_those_of_the_program():
    found = capture(Block(), torch.randn(2, 3, 8, 8))
    norm = found.graph.calls[2]
    assert found.module(norm) is found.model.bn
    assert {node.name for node in found.nodes[norm]} >= {"batch_norm"}
    assert all(node.graph is found.program.graph for node in found.nodes[norm])


def test_a_result_kept_in_an_attribute_may_be_read_by_anybody():
    class Keeping(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn, self.lstm = nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.LSTM(7, 4)

        def forward(self, x):
            self.feature = self.conv(x)
            return self.lstm(self.bn(self.feature))[0]

    graph = calls_of(nn.Sequential(Keeping(), nn.Linear(4, 2)), torch.randn(2, 2, 9))
    conv = next(call for call in graph.calls if call.kind == "Conv1d")
    with pytest.raises(Undecided, match=r"keeps a tensor in the attribute `0\.feature`"):
        graph.readers(conv)
    assert next(call for call in graph.calls if call.kind == "Linear").escapes is None


def test_what_an_lstm_keeps_for_itself_is_no_result():
    graph = calls_of(nn.LSTM(4, 3), torch.randn(2, 5, 4))
    assert [(call.kind, call.escapes) for call in graph.calls if call.kind == "LSTM"] == [("LSTM", None)]
    assert all(call.escapes is None for call in graph.calls)
