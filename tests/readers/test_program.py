"""Saved programs: broken and hostile files are refused, layers come back with what the operators tell."""

import os
import zipfile

import pytest
import torch
from torch import nn

from normfix.errors import UsageError
from normfix.readers.program import load, read


def saved(path, training=False):
    model = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.BatchNorm2d(8, eps=1e-3), nn.ReLU(), nn.GroupNorm(2, 8))
    model.train(training)
    torch.export.save(torch.export.export(model, (torch.randn(2, 4, 8, 8),)), path)
    return str(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "no such file", id="missing"),
        pytest.param(b"", "no exported program", id="empty"),
        pytest.param(b"PK\x03\x04 nothing", "no exported program", id="garbage"),
    ],
)
def test_refused(tmp_path, content, message):
    path = tmp_path / "a.pt2"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        load(str(path))


def test_a_cut_off_file_is_refused(tmp_path):
    path = tmp_path / "half.pt2"
    saved(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UsageError, match="cut off"):
        load(str(path))


def test_pickled_code_in_a_program_is_not_run(tmp_path):
    class Command:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'witness'}",)

    torch.save({"x": Command()}, tmp_path / "evil.bin")
    evil = (tmp_path / "evil.bin").read_bytes()
    good, bad = tmp_path / "good.pt2", tmp_path / "bad.pt2"
    saved(good)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w") as target:
        for entry in source.infolist():
            pickled = entry.filename.endswith((".pt", ".bin")) or "sample_inputs" in entry.filename
            target.writestr(entry, evil if pickled else source.read(entry))
    with pytest.raises(UsageError, match="no exported program"):
        load(str(bad))
    assert not (tmp_path / "witness").exists()


@pytest.mark.parametrize("training", [False, True], ids=["eval", "training"])
def test_layers_and_modes_come_back(tmp_path, training):
    graph = read(saved(tmp_path / "a.pt2", training))
    assert [call.kind for call in graph.calls] == ["input", "Conv2d", "BatchNorm2d", "ReLU", "GroupNorm"]
    conv, norm, _, group = graph.layers
    assert norm.number("eps") == 1e-3
    assert (conv.integer("in_channels"), conv.integer("out_channels"), conv.integer("groups")) == (4, 8, 2)
    assert group.integer("num_groups") == 2
    assert graph.calls[2].training is training
    assert len(norm.state["running_var"].values()) == 8
