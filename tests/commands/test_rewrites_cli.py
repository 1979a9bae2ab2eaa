"""fold, swap, drop-bias, migrate and verify from the command line: files, exit codes, and nothing written in vain."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from normfix.cli import main
from normfix.transforms import checkpoints

NETWORK = """
from torch import nn

def net(bias=True):
    return nn.Sequential(nn.Conv2d(3, 8, 3, bias=bias), nn.BatchNorm2d(8), nn.ReLU())

def fixed():
    import torch
    torch.manual_seed(0)
    return net()

def other():
    import torch
    torch.manual_seed(1)
    return net()
"""
INPUT = ["--input", "2x3x8x8"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "rewrites_network.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "rewrites_network", raising=False)
    return tmp_path


TARGET = "rewrites_network.py:fixed"


def test_fold_prints_what_it_did(capsys):
    assert main(["fold", TARGET, *INPUT, "--prove", "formula"]) == 0
    out = capsys.readouterr().out
    assert "1 applied, 0 refused" in out and "folded into `0`" in out and "proven: formula" in out


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".pt2", ".onnx"])
def test_fold_writes_what_the_suffix_asks_for(folder, suffix, capsys):
    assert main(["fold", TARGET, *INPUT, "--prove", "formula", "-o", f"out{suffix}"]) == 0
    assert (folder / f"out{suffix}").stat().st_size > 100
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    assert f"wrote out{suffix}" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_a_file_can_be_held_against_its_model(suffix, capsys):
    main(["fold", TARGET, *INPUT, "--prove", "formula", "-o", f"out{suffix}"])
    assert main(["verify", TARGET, f"out{suffix}", *INPUT, "--prove", "formula"]) == 0
    assert main(["verify", "rewrites_network.py:other", f"out{suffix}", *INPUT, "--prove", "formula"]) == 1
    assert "NOT PROVEN" in capsys.readouterr().out


def test_json_is_one_object(capsys):
    assert main(["fold", TARGET, *INPUT, "--prove", "formula", "--output-format", "json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["applied"] == [{"where": "1", "what": plain["applied"][0]["what"]}]
    assert plain["refused"] == [] and plain["proof"]["holds"] is True


def test_a_certificate_holds_versions_hashes_and_numbers(folder):
    assert main(["fold", TARGET, *INPUT, "--prove", "formula", "--certificate", "proof.json"]) == 0
    plain = json.loads((folder / "proof.json").read_text())
    assert plain["versions"]["torch"] == torch.__version__
    assert len(plain["before"]) == len(plain["after"]) == 64 and plain["before"] != plain["after"]
    assert plain["inputs"][0]["shape"] == [2, 3, 8, 8] and plain["proof"]["formula"] < 1e-10
    (folder / "other.json").write_text("{}")
    assert (folder / "proof.json").stat().st_mode == (folder / "other.json").stat().st_mode, "others may read it"


def test_dry_run_writes_nothing(folder, capsys):
    before = sorted(path.name for path in folder.iterdir())
    options = ["-o", "out.pt", "--certificate", "proof.json", "--dry-run"]
    assert main(["fold", TARGET, *INPUT, "--prove", "none", *options]) == 0
    assert {path.name for path in folder.iterdir()} - set(before) <= {"__pycache__"}
    assert "nothing was written" in capsys.readouterr().out


def test_weights_are_loaded_first(folder, capsys):
    import rewrites_network

    torch.save(rewrites_network.other().state_dict(), "weights.pt")
    options = ["--prove", "none", "-o", "out.pt"]
    assert main(["fold", TARGET, *INPUT, "--weights", "weights.pt", *options]) == 0
    expected = rewrites_network.other().eval()
    folded = torch.load("out.pt", weights_only=True)
    torch.testing.assert_close(folded["0.weight"], expected[0].weight / (1 + 1e-5) ** 0.5)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".pt2", ".onnx"])
def test_a_link_that_is_written_to_stays_a_link(folder, suffix):
    (folder / "kept").mkdir()
    real, link = folder / "kept" / f"real{suffix}", folder / f"link{suffix}"
    real.write_bytes(b"old")
    link.symlink_to(real)
    assert main(["fold", TARGET, *INPUT, "--prove", "none", "-o", link.name]) == 0
    assert link.is_symlink() and real.read_bytes() != b"old"
    assert {path.name for path in real.parent.iterdir()} <= {real.name, f"{real.name}.data"}


def test_drop_bias_and_migrate(folder, capsys):
    assert main(["drop-bias", TARGET, *INPUT, "--prove", "formula", "-o", "new.pt"]) == 0
    import rewrites_network

    torch.save(rewrites_network.fixed().state_dict(), "old.pt")
    like = ["--like", "rewrites_network.py:net", "--kwargs", '{"bias": false}']
    assert main(["migrate", "old.pt", *like, *INPUT, "-o", "migrated.pt"]) == 0
    new, migrated = (torch.load(name, weights_only=True) for name in ("new.pt", "migrated.pt"))
    assert new.keys() == migrated.keys() and all(torch.equal(new[name], migrated[name]) for name in new)


@pytest.mark.parametrize(("suffix", "left_out"), [(".safetensors", []), (".pt", ["__metadata__.format"])])
def test_migrate_keeps_the_metadata_where_the_file_can_hold_it(folder, capsys, suffix, left_out):
    import rewrites_network

    save_file(rewrites_network.fixed().state_dict(), "old.safetensors", {"format": "pt"})
    like = ["--like", "rewrites_network.py:net", "--kwargs", '{"bias": false}', "--output-format", "json"]
    assert main(["migrate", "old.safetensors", *like, *INPUT, "-o", f"new{suffix}"]) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == left_out
    assert checkpoints.metadata(f"new{suffix}") == ({} if left_out else {"format": "pt"})


def test_swap_estimates_statistics_from_batches(folder, capsys):
    (folder / "grouped.py").write_text(
        "import torch\nfrom torch import nn\n\n"
        "def net():\n    return nn.Sequential(nn.GroupNorm(1, 3))\n\n"
        "def batches():\n    yield torch.full((2, 3, 4, 4), 5.0)\n"
    )
    target = ["swap", "grouped.py:net", "--to", "batch", "--input", "2x3x4x4", "--prove", "none", "-o", "new.pt"]
    assert main(target) == 0
    assert "0 applied, 1 refused" in capsys.readouterr().out
    assert main([*target, "--calibrate", "grouped.py:batches"]) == 0
    assert "became BatchNorm2d(3)" in capsys.readouterr().out
    assert torch.equal(torch.load("new.pt", weights_only=True)["0.running_mean"], torch.full((3,), 5.0))


def test_swap(capsys):
    assert main(["swap", TARGET, "--to", "group", *INPUT, "--prove", "formula"]) == 0
    assert "became GroupNorm(8, 8)" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["output", "input", "kwargs", "weights", "calibrate", "certificate", "html"])
def test_a_source_file_takes_no_option_of_live_models(folder, capsys, option):
    before = (folder / "rewrites_network.py").read_bytes()
    assert main(["swap", "rewrites_network.py", "--to", "group", f"--{option}", "2x3"]) == 2
    told = f"error: swapping in `rewrites_network.py`: a source file takes no --{option}\n"
    assert capsys.readouterr().err == told
    assert (folder / "rewrites_network.py").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(["--to", "sync_batch"], "wraps a model in DistributedDataParallel", id="not-distributed"),
        pytest.param(["--to", "group", "--where", "Net.*"], "makes a batch norm that `Net.*` names", id="no-such-name"),
        pytest.param(["--to", "group", "--where", ""], "makes a batch norm that `` names", id="an-empty-name"),
    ],
)
def test_swap_says_that_a_source_file_holds_nothing_to_swap(capsys, words, told):
    assert main(["swap", "rewrites_network.py", *words]) == 0
    assert capsys.readouterr().out == f"0 applied, 0 refused\nnothing in the file {told}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["fold", TARGET, *INPUT, "-o", "out.xyz"], "cannot write `out.xyz`", id="unknown-suffix"),
        pytest.param(["fold", TARGET, *INPUT, "-o", "no/out.pt"], "there is no folder", id="no-such-folder"),
        pytest.param(["fold", TARGET], "as `--input 8x3x224x224`", id="no-inputs"),
        pytest.param(["fold", TARGET, "--input", "2x5x8x8"], "cannot be captured", id="inputs-that-do-not-fit"),
        pytest.param(["fold", "rewrites_network.py:none", *INPUT], "there is no `none`", id="no-such-name"),
        pytest.param(["fold", TARGET, *INPUT, "--kwargs", "{"], "cannot read `--kwargs`", id="kwargs-not-json"),
        pytest.param(["fold", TARGET, *INPUT, "--weights", "none.pt"], "no such file", id="no-such-weights"),
        pytest.param(
            ["swap", TARGET, "--to", "group", "--calibrate", "none.py:a"], "there is no file", id="no-such-batches"
        ),
        pytest.param(
            ["swap", "rewrites_network.py", "--to", "group", "--calibrate", "a:b"], "takes no", id="source-and-batches"
        ),
        pytest.param(["verify", TARGET, "none.onnx", *INPUT], "no such file", id="verify-no-such-file"),
        pytest.param(["migrate", "none.pt", "--like", TARGET, "-o", "a.pt"], "no such file", id="migrate-no-file"),
        pytest.param(["migrate", "none.pt", "--like", TARGET], "say where to write", id="migrate-nowhere-to"),
        pytest.param(["migrate", "a.pt", "--like", TARGET, "-o", "a.onnx"], "a checkpoint is", id="migrate-no-format"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(folder, words, message, capsys):
    assert main(words) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.startswith("error: ") and captured.out == ""
    assert {path.name for path in folder.iterdir()} <= {"rewrites_network.py", "__pycache__"}


FUNCTIONAL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.tail = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)
        self.register_buffer("mean", torch.ones(4))

    def forward(self, x, raw=False):
        y = self.conv(x)
        y = y if raw else self.norm(y)
        return torch.nn.functional.batch_norm(self.tail(y.relu()), self.mean, self.mean)
"""


def test_a_functional_norm_is_folded_when_the_program_is_asked_for_as_the_refusal_says(folder, capsys):
    (folder / "functional.py").write_text(FUNCTIONAL)
    target = ["fold", "functional.py:Net", *INPUT, "--prove", "formula"]
    assert main(target) == 0
    out = capsys.readouterr().out
    assert "1 applied, 1 refused" in out and 'output="program"' in out and "--program" in out
    assert main([*target, "--program"]) == 0
    assert "2 applied, 0 refused" in capsys.readouterr().out


def test_arguments_that_were_left_out_are_named_in_the_account(folder, capsys):
    (folder / "functional.py").write_text(FUNCTIONAL)
    assert main(["fold", "functional.py:Net", *INPUT, "--prove", "formula"]) == 0
    assert "proven for calls that leave `raw` at the default" in capsys.readouterr().out


LOUD = """
import torch
from torch import nn

print("while imported")

class Loud(nn.Sequential):
    def forward(self, x):
        print("while run")
        return super().forward(x)

def net():
    print("while built")
    return Loud(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

def batches():
    print("while fed")
    yield torch.ones(2, 3, 8, 8)
"""
NEW = ["loud.py:net", "--input", "2x3x8x8"]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["fold", *NEW, "-o", "out.onnx", "--html", "out.html"], id="fold"),
        pytest.param(["drop-bias", *NEW, "--prove", "formula", "-o", "out.pt2"], id="drop-bias"),
        pytest.param(["swap", *NEW, "--to", "group"], id="swap"),
        pytest.param(["swap", *NEW, "--to", "batch", "--calibrate", "loud.py:batches"], id="swap-with-batches"),
        pytest.param(["verify", "loud.py:net", *NEW, "--prove", "formula"], id="verify"),
        pytest.param(["inspect", *NEW], id="inspect"),
        pytest.param(["check", *NEW], id="check"),
        pytest.param(["check"], id="check-of-the-configuration"),
        pytest.param(["migrate", "old.pt", "--like", *NEW, "-o", "new.pt"], id="migrate"),
    ],
)
def test_what_a_model_prints_is_no_part_of_the_result(folder, words):
    (folder / "loud.py").write_text(LOUD)
    (folder / "pyproject.toml").write_text('[[tool.normfix.models]]\ntarget = "loud.py:net"\ninput = ["2x3x8x8"]\n')
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).state_dict(), "old.pt")
    command = [sys.executable, "-W", "ignore", "-m", "normfix", *words, "--output-format", "json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert isinstance(json.loads(run.stdout), dict), run.stderr
    assert "while built" in run.stderr
