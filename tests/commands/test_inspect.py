"""`normfix inspect` from the outside."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from normfix.cli import main

SOURCE = """
from torch import nn

class Net(nn.Module):
    def __init__(self, branching=False):
        super().__init__()
        self.conv, self.bn, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.branching = branching

    def forward(self, x):
        x = self.bn(self.conv(x)).relu()
        if self.branching and x.sum() > 0:
            return x
        return self.norm(x)
"""


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "nets_to_inspect.py"
    path.write_text(SOURCE)
    return f"{path}:Net"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["--input", "2x"], "cannot read the input", id="input"),
        pytest.param(["--kwargs", "3"], "expected a JSON object", id="kwargs"),
        pytest.param(
            ["--input", "2x5x8x8"], "raises with these inputs: RuntimeError: Given", id="inputs-that-do-not-fit"
        ),
    ],
)
def test_bad_input_exits_2(target, capsys, words, message):
    assert main(["inspect", target, *words]) == 2
    shown = capsys.readouterr()
    assert message in shown.err and shown.out == ""


def test_why_no_fold_is_known_is_told(target, capsys, monkeypatch):
    monkeypatch.setattr("normfix.transforms.foldable.foldable", lambda *_: ({}, "it cannot be captured"))
    assert main(["inspect", target, "--input", "2x3x8x8"]) == 0
    assert "\nnote: what can be folded is not known: it cannot be captured\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["none.onnx", "none.pt2", "none.pt", "none.safetensors", "none.txt"])
def test_a_file_that_is_not_there_exits_2(tmp_path, capsys, name):
    assert main(["inspect", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.startswith("error: cannot ")


def test_a_model_tells_where_each_norm_could_go(target, capsys):
    assert main(["inspect", target, "--input", "2x3x8x8"]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert "into `conv`" in next(line for line in lines if " bn " in line)
    assert "no: " in next(line for line in lines if " norm " in line)
    assert lines[-1] == f"2 norms in {target}"


def test_a_model_that_cannot_be_captured_says_why(target, capsys):
    words = ["--kwargs", '{"branching": true}', "--input", "2x3x8x8"]
    assert main(["inspect", target, *words]) == 0
    shown = capsys.readouterr().out
    assert "2x8x6x6" in shown
    assert "note: Net: the calls of Net are not known" in shown
    assert "if self.branching and x.sum() > 0:" in shown


def test_json_has_numbers(target, capsys):
    main(["inspect", target, "--input", "2x3x8x8", "--output-format", "json"])
    row = json.loads(capsys.readouterr().out)["norms"][0]
    assert (row["path"], row["elements"], row["eps"]) == ("bn", 72, 1e-5)


def test_a_checkpoint_shows_its_norms(tmp_path, capsys):
    path = tmp_path / "a.safetensors"
    save_file(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).state_dict(), path)
    assert main(["inspect", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "a checkpoint holds no calls" in shown
    assert f"1 norm in {path}" in shown


def test_no_norms(tmp_path, capsys):
    path = tmp_path / "b.safetensors"
    save_file({"weight": torch.ones(2)}, path)
    assert main(["inspect", str(path)]) == 0
    assert f"No norms in {path}" in capsys.readouterr().out


def test_a_module_of_torchscript_is_refused(tmp_path, capsys):
    (tmp_path / "scripted.py").write_text("import torch\nnet = torch.jit.script(torch.nn.BatchNorm2d(3))\n")
    assert main(["inspect", f"{tmp_path}/scripted.py:net", "--input", "2x3x4x4"]) == 2
    assert "a TorchScript module hides its layers" in capsys.readouterr().err
