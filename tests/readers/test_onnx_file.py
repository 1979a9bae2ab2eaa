"""ONNX files: broken ones are refused, external data stays in its folder, nodes become the layers they came from."""

from contextlib import suppress
from random import Random

import numpy
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from normfix.errors import UsageError
from normfix.graph import Undecided, Unknown
from normfix.readers.onnx_file import read


def proto(*nodes, shape=(2, 3, 8, 8), stored=(), opset=20, result="y"):
    """A model of one input `x` whose initializers are given by name and array."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(numpy.asarray(value, numpy.float32), name) for name, value in dict(stored).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def norm_state(width=3, name="bn"):
    random = numpy.random.default_rng(0)
    values = {"weight": random.normal(size=width), "bias": random.normal(size=width)}
    statistics = {"running_mean": random.normal(size=width), "running_var": random.uniform(0.5, 2, width)}
    return {f"{name}.{key}": value for key, value in {**values, **statistics}.items()}


def batch_norm(source, result, name="bn", **attributes):
    inputs = [source, *(f"{name}.{key}" for key in ("weight", "bias", "running_mean", "running_var"))]
    return helper.make_node("BatchNormalization", inputs, [result], **attributes)


def save(model, path):
    onnx.save(model, str(path))
    return str(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "no such file", id="missing"),
        pytest.param(b"", "no ONNX model", id="empty"),
        pytest.param(b"\xff\xfe hello", "no ONNX model", id="garbage"),
        pytest.param(b"PK\x03\x04", "no ONNX model", id="a-zip-archive"),
    ],
)
def test_refused(tmp_path, content, message):
    path = tmp_path / "a.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read(str(path))


def test_a_cut_off_file_is_refused(tmp_path):
    path = tmp_path / "half.onnx"
    save(proto(batch_norm("x", "y"), stored=norm_state()), path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UsageError, match="cut off"):
        read(str(path))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        pytest.param([(2, 3, 8, 8), (1,)], "with 2 inputs: it has 1", id="too-many"),
        pytest.param([(2, 3)], r"does not fit its input `x`", id="rank"),
        pytest.param([(2, 4, 8, 8)], r"does not fit its input `x`", id="width"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(tmp_path, shapes, message):
    path = save(proto(batch_norm("x", "y"), stored=norm_state(), shape=("batch", 3, 8, 8)), tmp_path / "a.onnx")
    with pytest.raises(UsageError, match=message):
        read(path, shapes)


def externally(path, location, length=None):
    """Move the running mean of a saved batch norm to external data at `location`."""
    model = proto(batch_norm("x", "y"), stored=norm_state())
    for initializer in model.graph.initializer:
        if initializer.name == "bn.running_mean":
            initializer.ClearField("raw_data")
            initializer.data_location = TensorProto.EXTERNAL
            initializer.external_data.add(key="location", value=location)
            if length is not None:
                initializer.external_data.add(key="length", value=str(length))
    return save(model, path)


def test_external_data_is_read_on_demand(tmp_path):
    numpy.array([1, 2, 3], numpy.float32).tofile(tmp_path / "weights.bin")
    graph = read(externally(tmp_path / "a.onnx", "weights.bin", 12))
    assert list(graph.layers[0].state["running_mean"].values()) == [1, 2, 3]


@pytest.mark.parametrize(
    ("location", "length", "message"),
    [
        pytest.param("../secret.bin", 12, "not a file in the folder", id="parent-folder"),
        pytest.param("{outside}", 12, "not a file in the folder", id="absolute-path"),
        pytest.param("link.bin", 12, "not a file in the folder", id="link-out-of-the-folder"),
        pytest.param("none.bin", 12, "not a file in the folder", id="missing"),
        pytest.param("short.bin", 12, "cut off", id="too-short"),
        pytest.param("short.bin", None, "does not fit its shape", id="wrong-size"),
    ],
)
def test_external_data_elsewhere_is_not_read(tmp_path, location, length, message):
    folder = tmp_path / "model"
    folder.mkdir()
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(12))
    (folder / "short.bin").write_bytes(bytes(8))
    (folder / "link.bin").symlink_to(secret)
    graph = read(externally(folder / "a.onnx", location.format(outside=secret), length))
    with pytest.raises(Undecided, match=message):
        graph.layers[0].state["running_mean"].values()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2)
        self.bn = nn.BatchNorm2d(8, eps=1e-3, momentum=0.3)
        self.up = nn.ConvTranspose2d(8, 4, 2)
        self.fc = nn.Linear(4, 5)
        self.ln = nn.LayerNorm(5)

    def forward(self, x):
        x = torch.relu(self.bn(self.conv(x)))
        return self.ln(self.fc(self.up(x).mean((2, 3))))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model = Net().eval()
    model.bn.running_mean.normal_()
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    torch.onnx.export(model, (torch.randn(2, 4, 8, 8),), str(path), dynamo=True, optimize=False, verbose=False)
    return read(str(path))


def test_layers_keep_their_names_arguments_and_lines(exported):
    named = {layer.name: layer for layer in exported.layers if layer.state}
    assert {name: layer.kind for name, layer in named.items()} == {
        "conv": "Conv2d",
        "bn": "BatchNorm2d",
        "up": "ConvTranspose2d",
        "fc": "Linear",
        "ln": "LayerNorm",
    }
    assert (named["bn"].number("eps"), named["bn"].number("momentum")) == (1e-3, 0.3)
    conv = named["conv"]
    assert [conv.value(name) for name in ("in_channels", "out_channels", "groups", "stride", "padding", "bias")] == [
        4, 8, 2, (2, 2), (1, 1), True,
    ]  # fmt: skip
    assert (named["up"].integer("in_channels"), named["up"].integer("out_channels")) == (8, 4)
    assert named["ln"].value("normalized_shape") == (5,)
    call = exported.calls_of(named["bn"])[0]
    assert call.producer().layer is conv
    assert call.input_shape() == (2, 8, 4, 4)
    assert call.site.origin.path.endswith("test_onnx_file.py")
    assert call.training is False


def test_training_mode_is_seen(tmp_path):
    node = batch_norm("x", "y", training_mode=1)
    node.output.extend(["mean", "var"])
    graph = read(save(proto(node, stored=norm_state()), tmp_path / "a.onnx"))
    assert [call.training for call in graph.calls if call.kind == "BatchNorm2d"] == [True]


def test_an_open_batch_size_leaves_shapes_open_and_the_rank_known(tmp_path):
    path = save(proto(batch_norm("x", "y"), stored=norm_state(), shape=("batch", 3, 8, 8)), tmp_path / "a.onnx")
    graph = read(path)
    assert graph.calls[1].kind == "BatchNorm2d"
    assert isinstance(graph.calls[1].shape, Unknown)
    assert read(path, [(4, 3, 8, 8)]).calls[1].shape == (4, 3, 8, 8)


def test_one_trained_norm_used_twice_is_one_layer(tmp_path):
    nodes = [batch_norm("x", "a"), helper.make_node("Relu", ["a"], ["b"]), batch_norm("b", "y")]
    graph = read(save(proto(*nodes, stored=norm_state()), tmp_path / "a.onnx"))
    norm = next(layer for layer in graph.layers if layer.kind == "BatchNorm2d")
    assert len(graph.calls_of(norm)) == 2


def test_fresh_norms_that_an_exporter_merged_stay_two_layers(tmp_path):
    fresh = {"bn.weight": [1] * 3, "bn.bias": [0] * 3, "bn.running_mean": [0] * 3, "bn.running_var": [1] * 3}
    nodes = [batch_norm("x", "a"), helper.make_node("Relu", ["a"], ["b"]), batch_norm("b", "y")]
    graph = read(save(proto(*nodes, stored=fresh), tmp_path / "a.onnx"))
    assert len([layer for layer in graph.layers if layer.kind == "BatchNorm2d"]) == 2


def test_a_tensor_behind_an_identity_is_that_tensor(tmp_path):
    state = norm_state()
    state["shared"] = state.pop("bn.running_mean")
    nodes = [helper.make_node("Identity", ["shared"], ["bn.running_mean"]), batch_norm("x", "y")]
    graph = read(save(proto(*nodes, stored=state), tmp_path / "a.onnx"))
    assert [call.kind for call in graph.calls] == ["input", "BatchNorm2d"]
    assert list(graph.layers[0].state["running_mean"].values()) == pytest.approx(list(state["shared"]))


def test_a_weight_that_is_computed_is_an_operation(tmp_path):
    nodes = [
        helper.make_node("Mul", ["w", "two"], ["w2"]),
        helper.make_node("Conv", ["x", "w2"], ["y"]),
    ]
    stored = {"w": numpy.ones((4, 3, 3, 3)), "two": 2.0}
    graph = read(save(proto(*nodes, stored=stored), tmp_path / "a.onnx"))
    assert [call.kind for call in graph.calls] == ["input", "constant", "mul", "conv"]
    assert [source.kind for source in graph.calls[3].inputs] == ["input", "mul"]


def test_a_node_with_a_graph_of_its_own_reads_what_that_graph_reads(tmp_path):
    def branch(op):
        node = helper.make_node(op, ["a"], ["z"])
        return helper.make_graph([node], op, [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)])

    nodes = [
        batch_norm("x", "a"),
        helper.make_node("ReduceMean", ["x"], ["m"], keepdims=0),
        helper.make_node("Cast", ["m"], ["c"], to=TensorProto.BOOL),
        helper.make_node("If", ["c"], ["y"], then_branch=branch("Relu"), else_branch=branch("Neg")),
    ]
    graph = read(save(proto(*nodes, stored=norm_state()), tmp_path / "a.onnx"))
    norm = next(call for call in graph.calls if call.kind == "BatchNorm2d")
    assert [(reader.kind, reader.layer.reason) for reader in graph.readers(norm)] == [
        ("unknown", "`If` runs a graph of its own")
    ]


def test_a_foreign_operator_is_unknown(tmp_path):
    node = helper.make_node("Strange", ["x"], ["y"], domain="acme")
    model = proto(node)
    model.opset_import.append(helper.make_opsetid("acme", 1))
    graph = read(save(model, tmp_path / "a.onnx"))
    assert (graph.calls[1].kind, graph.calls[1].layer.reason) == ("unknown", "`acme::Strange` is no operator of ONNX")


def test_local_functions_are_looked_into(tmp_path):
    function = helper.make_function(
        "acme", "Block", ["v", "s", "b", "m", "r"], ["o"],
        [helper.make_node("BatchNormalization", ["v", "s", "b", "m", "r"], ["o"])],
        [helper.make_opsetid("", 20)],
    )  # fmt: skip
    node = helper.make_node(
        "Block", ["x", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"], ["y"], domain="acme"
    )
    model = proto(node, stored=norm_state())
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("acme", 1))
    graph = read(save(model, tmp_path / "a.onnx"))
    assert [call.kind for call in graph.calls] == ["input", "BatchNorm2d"]


@pytest.mark.parametrize("seed", range(40))
def test_damaged_bytes_are_refused_or_read(tmp_path, seed):
    path = tmp_path / "a.onnx"
    save(proto(batch_norm("x", "y"), stored=norm_state()), path)
    data, random = bytearray(path.read_bytes()), Random(seed)
    for _ in range(random.choice([1, 3, 20])):
        data[random.randrange(len(data))] = random.randrange(256)
    path.write_bytes(data)
    with suppress(UsageError):
        assert read(str(path)).calls
