"""`normfix check` from the outside: exit codes, messages, formats."""

import json

import pytest

from normfix.cli import main

SOURCE = """
import torch
from torch import nn

def biased(): return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
def sound(): return nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8))
def scripted(): return torch.jit.script(biased())
def wrapped(): return nn.DataParallel(scripted())
def boom(): raise RuntimeError("boom\\nsecond line")
"""


@pytest.fixture
def nets(tmp_path):
    path = tmp_path / "nets_to_check.py"
    path.write_text(SOURCE)
    return str(path)


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        pytest.param("biased", ["--input", "2x3xfoo"], "cannot read the input `2x3xfoo`", id="input"),
        pytest.param("biassed", [], "did you mean `biased`", id="name"),
        pytest.param("biased", ["--kwargs", "{"], "cannot read `--kwargs`", id="kwargs-no-json"),
        pytest.param("biased", ["--kwargs", "[1]"], "expected a JSON object", id="kwargs-no-object"),
        pytest.param("biased", ["--batch-size", "0"], "the batch size `0`", id="batch-size"),
        pytest.param("biased", ["--select", "NF9999"], "NF9999", id="rule"),
        pytest.param("biased", ["--purpose", "fun"], "--purpose", id="purpose"),
        pytest.param("scripted", [], "a TorchScript module hides its layers", id="torchscript-shows-no-layers"),
        pytest.param("wrapped", [], "a TorchScript module hides its layers", id="torchscript-in-a-wrapper"),
        pytest.param("boom", [], "RuntimeError: boom second line", id="an-exception-of-two-lines"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(nets, capsys, name, words, message):
    assert main(["check", f"{nets}:{name}", *words]) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_findings_exit_1_and_silence_exits_0(nets, capsys):
    words = ["--input", "4x3x8x8", "--select", "NF301"]
    assert main(["check", f"{nets}:biased", *words]) == 1
    assert "`0` adds a bias" in capsys.readouterr().out
    assert main(["check", f"{nets}:sound", *words]) == 0
    assert main(["check", f"{nets}:biased", *words, "--exit-zero"]) == 0
    assert main(["check", f"{nets}:biased", *words, "--fail-on", "error"]) == 0


def test_json(nets, capsys):
    main(["check", f"{nets}:biased", "--input", "4x3x8x8", "--output-format", "json"])
    shown = json.loads(capsys.readouterr().out)
    assert [(one["code"], one["module"]) for one in shown["findings"]] == [("NF301", "0")]
    assert shown["errors"] == []
