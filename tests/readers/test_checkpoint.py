"""Checkpoints: hostile and broken files are refused in one sentence, nothing in them runs, names keep their meaning."""

import json
import os
import zipfile
from contextlib import suppress
from random import Random

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from normfix.errors import UsageError
from normfix.readers import checkpoint
from normfix.readers.checkpoint import read


class Command:
    """Runs a shell command when it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def trained():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.LayerNorm(4)).eval()
    model[1].running_mean.normal_()
    model[1].running_var.uniform_(0.5, 2)
    return model


@pytest.fixture
def state():
    return trained().state_dict()


def cut(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    witness = tmp_path / "witness"
    torch.save({"weights": Command(f"touch {witness}")}, tmp_path / "evil.pt")
    with pytest.raises(UsageError, match=r"holds more than tensors \(`.*system`\), which is not executed"):
        read(str(tmp_path / "evil.pt"))
    assert not witness.exists()


def test_a_whole_model_is_refused_with_advice(tmp_path):
    torch.save(trained(), tmp_path / "model.pt")
    with pytest.raises(UsageError, match="save its state_dict"):
        read(str(tmp_path / "model.pt"))


@pytest.mark.parametrize("suffix", ["pt", "pth", "bin", "safetensors"])
def test_a_cut_off_file_is_refused(tmp_path, state, suffix):
    path = tmp_path / f"half.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    cut(path)
    with pytest.raises(UsageError, match="cut off"):
        read(str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param({}, "holds no state dict", id="empty"),
        pytest.param({"epoch": 3, "best": 0.5}, "holds no state dict", id="numbers-only"),
        pytest.param({"optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}, "no state dict", id="optimizer-only"),
        pytest.param([torch.ones(2)], "holds no state dict", id="list"),
    ],
)
def test_what_holds_no_model_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(UsageError, match=message):
        read(str(tmp_path / "other.pt"))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read(str(tmp_path / "none.pt"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_archive_is_refused(tmp_path):
    torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / "script.pt"))
    with pytest.raises(UsageError, match="TorchScript"):
        read(str(tmp_path / "script.pt"))


def test_a_file_that_unpacks_to_much_more_is_refused(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("bomb/data/0", "w") as entry:
        for _ in range(51):
            entry.write(bytes(1 << 22))
    with pytest.raises(UsageError, match="unpacks to"):
        read(str(path))


def shards(folder, state, **names):
    half = len(state) // 2
    keys = list(state)
    for index, part in enumerate((keys[:half], keys[half:])):
        save_file({key: state[key] for key in part}, folder / f"part-{index}.safetensors")
    weights = {key: f"part-{int(index >= half)}.safetensors" for index, key in enumerate(keys)}
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {**weights, **names}}))
    return path


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param({"x": "part-9.safetensors"}, "`part-9.safetensors` is not a file beside it", id="shard-missing"),
        pytest.param({"x": "../secret.safetensors"}, "is not a file beside it", id="shard-outside-the-folder"),
        pytest.param({"x": "part-0.safetensors"}, "no shard holds `x`", id="tensor-missing"),
    ],
)
def test_a_broken_index_is_refused(tmp_path, state, names, message):
    folder = tmp_path / "model"
    folder.mkdir()
    save_file(state, tmp_path / "secret.safetensors")
    with pytest.raises(UsageError, match=message):
        read(str(shards(folder, state, **names)))


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": 3}'], ids=["no-json", "a-list", "no-map"])
def test_an_index_that_is_none_is_refused(tmp_path, text):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="no index"):
        read(str(path))


def test_sharded_is_one_model(tmp_path, state):
    (graph,) = read(str(shards(tmp_path, state)))
    assert {layer.name for layer in graph.layers} == {"0", "1", "2"}


@pytest.mark.parametrize(
    ("wrap", "prefix"),
    [
        pytest.param(lambda state: state, "", id="plain"),
        pytest.param(lambda state: {"state_dict": state, "epoch": 3}, "", id="lightning-like"),
        pytest.param(lambda state: {"a": {"model": state}, "optimizer": {"x": torch.ones(2)}}, "", id="nested"),
        pytest.param(
            lambda state: {"model": {f"module.{key}": value for key, value in state.items()}}, "module.", id="wrapped"
        ),
    ],
)
def test_the_state_dict_is_found_wherever_it_is(tmp_path, state, wrap, prefix):
    torch.save(wrap(state), tmp_path / "saved.pt")
    (graph,) = read(str(tmp_path / "saved.pt"))
    norm = next(layer for layer in graph.layers if layer.kind == "batch_norm")
    assert (norm.name, norm.site.module) == ("1", f"{prefix}1")
    assert list(norm.state["running_var"].values()) == pytest.approx(state["1.running_var"].tolist())


def test_two_models_in_one_file_are_two_graphs(tmp_path, state):
    torch.save({"generator": state, "discriminator": trained().state_dict()}, tmp_path / "gan.pt")
    assert [graph.name for graph in read(str(tmp_path / "gan.pt"))] == ["generator", "discriminator"]


def test_tied_tensors_name_each_other(tmp_path):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    torch.save(model.state_dict(), tmp_path / "tied.pt")
    (graph,) = read(str(tmp_path / "tied.pt"))
    assert graph.layers[0].state["weight"].names == ("0.weight", "1.weight")


def test_a_hundred_thousand_keys(tmp_path):
    names = [f"blocks.{index}.weight" for index in range(100_000)]
    header = {name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]} for i, name in enumerate(names)}
    text = json.dumps(header).encode()
    path = tmp_path / "many.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4 * len(names)))
    (graph,) = read(str(path))
    assert len(graph.layers) == 100_000
    assert list(graph.layers[-1].state["weight"].values()) == [0.0]


def test_half_precision_is_read_as_numbers(tmp_path):
    save_file(
        {"bn.running_mean": torch.ones(2).bfloat16(), "bn.running_var": torch.ones(2).half()},
        tmp_path / "h.safetensors",
    )
    (graph,) = read(str(tmp_path / "h.safetensors"))
    state = graph.layers[0].state
    assert (state["running_mean"].dtype, list(state["running_mean"].values())) == ("bfloat16", [1.0, 1.0])
    assert state["running_var"].dtype == "float16"


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("seed", range(40))
def test_damaged_bytes_are_refused_or_read(tmp_path, state, suffix, seed):
    path = tmp_path / f"a.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    data, random = bytearray(path.read_bytes()), Random(seed)
    for _ in range(random.choice([1, 3, 20])):
        data[-random.randrange(1, 700) if random.random() < 0.5 else random.randrange(len(data))] ^= 255
    path.write_bytes(data)
    with suppress(UsageError):
        assert read(str(path))[0].layers


def test_a_file_of_many_tensors_is_opened_once(tmp_path, monkeypatch):
    path = tmp_path / "many.safetensors"
    save_file(
        {f"bn{number}.{name}": torch.ones(2) for number in range(50) for name in ("running_mean", "running_var")}, path
    )
    (graph,) = read(str(path))
    opened = []
    monkeypatch.setattr(checkpoint, "safe_open", lambda *args, **kwargs: opened.append(1) or safe_open(*args, **kwargs))
    assert all(tuple(tensor.values()) == (1.0, 1.0) for layer in graph.layers for tensor in layer.state.values())
    assert len(opened) == 1
