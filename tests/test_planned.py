"""The models of a configuration: tables that are wrong are refused; a model that fails costs nobody else anything."""

import sys
from pathlib import Path

import pytest

from normfix.checking.planned import Model, Selection, check_all, check_one, model_of
from normfix.cli import main
from normfix.errors import UsageError

SOURCE = """
import os
import time

import torch
from torch import nn

def biased(width=8): return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))
def hanging(): time.sleep(600)
def greedy(): return nn.Linear(1 << 16, 1 << 16)
def dying(): os._exit(3)
def broken(): raise ValueError("no weights here")
"""


@pytest.fixture
def nets(tmp_path):
    path = tmp_path / "planned_nets.py"
    path.write_text(SOURCE)
    return str(path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        pytest.param({}, "`target` is missing", id="no-target"),
        pytest.param({"target": "a:b", "inputs": []}, "unknown key `inputs`; did you mean `input`", id="unknown-key"),
        pytest.param({"target": 3}, "`target` cannot be 3", id="target-no-text"),
        pytest.param({"target": "a:b", "input": "8x3"}, "`input` cannot be '8x3'", id="input-no-list"),
        pytest.param({"target": "a:b", "input": [8]}, r"`input` cannot be \[8\]", id="input-no-texts"),
        pytest.param({"target": "a:b", "batch-size": 0}, "`batch-size` cannot be 0", id="batch-of-none"),
        pytest.param({"target": "a:b", "batch-size": 2.5}, "`batch-size` cannot be 2.5", id="half-a-sample"),
        pytest.param({"target": "a:b", "world-size": True}, "`world-size` cannot be True", id="flag-for-a-number"),
        pytest.param({"target": "a:b", "timeout": -1}, "`timeout` cannot be -1", id="negative-time"),
        pytest.param({"target": "a:b", "kwargs": []}, r"`kwargs` cannot be \[\]", id="kwargs-no-table"),
    ],
)
def test_a_wrong_table_is_refused(table, message):
    with pytest.raises(UsageError, match=message):
        model_of(table)


def test_a_table_is_a_model():
    table = {"target": "a:b", "input": ["2x3"], "batch-size": 4, "timeout": 5, "kwargs": {"width": 3}}
    model = model_of(table)
    assert (model.target, model.input, model.batch_size, model.timeout) == ("a:b", ["2x3"], 4, 5)
    assert model.kwargs == {"width": 3}


def test_an_unknown_purpose_is_refused(nets):
    with pytest.raises(UsageError, match="the purpose `fun`"):
        check_one(Model(f"{nets}:biased", purpose="fun"), Selection())


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of memory")
def test_each_failure_is_told_and_the_other_models_are_checked(nets):
    models = [
        Model(f"{nets}:hanging", timeout=4),
        Model(f"{nets}:greedy", memory=4),
        Model(f"{nets}:dying"),
        Model(f"{nets}:broken"),
        Model(f"{nets}:biased", ["2x3x8x8"], {"width": 4}),
    ]
    told: list[str] = []
    report = check_all(models, Selection(["NF301"]), told.append)
    assert told == [model.target for model in models]
    reasons = [failure.reason for failure in report.errors]
    assert reasons[0] == "no answer within 4 seconds"
    assert reasons[1] == "it needs more than 4 GiB of memory"
    assert reasons[2] == "the process that checked it died (exit code 3)"
    assert "ValueError: no weights here" in reasons[3]
    assert [(one.code, one.path, one.module) for one in report.findings] == [("NF301", f"{nets}:biased", "0")]


def test_check_without_a_target_reads_the_configuration(nets, tmp_path, monkeypatch, capsys):
    tables = f'[[tool.normfix.models]]\ntarget = "{nets}:biased"\ninput = ["2x3x8x8"]\n'
    (tmp_path / "pyproject.toml").write_text(f'[tool.normfix]\nselect = ["NF301"]\nfail-on = "error"\n{tables}')
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 0
    assert "NF301" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["check"], "nothing to check", id="no-models"),
        pytest.param(["check", "--batch-size", "2"], "nothing to check", id="no-models-with-a-plan"),
    ],
)
def test_nothing_to_check(tmp_path: Path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_a_plan_without_a_target_is_refused(nets, tmp_path, monkeypatch, capsys):
    (tmp_path / "pyproject.toml").write_text(f'[[tool.normfix.models]]\ntarget = "{nets}:biased"\n')
    monkeypatch.chdir(tmp_path)
    assert main(["check", "--batch-size", "2"]) == 2
    assert "name a TARGET" in capsys.readouterr().err
