"""What is kept is what would be computed; whatever is damaged or outdated is computed again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from normfix import lint
from normfix.engine import rules
from normfix.findings import (
    Abstention,
    Failure,
    Finding,
    InsertStatement,
    ReplaceComment,
    Report,
    Safety,
    SetArgument,
    Severity,
    Together,
)
from normfix.graph import Origin, Site
from normfix.linting import cache, codec
from normfix.linting.cache import Cache
from normfix.linting.examine import Plan, examine_file, examine_text
from normfix.linting.jobs import MANY
from normfix.readers.siblings import Siblings

PLAN = Plan(frozenset(rules()))
MISUSE = "import torch\n\ndef f(model: torch.nn.Module):\n    model.eval\n"


def examine(path: Path, folder: Path, plan: Plan = PLAN) -> Report:
    return examine_file(str(path), plan, Siblings(), Cache(str(folder)))


def entries(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.json"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "src" / "a.py"
    path.parent.mkdir()
    path.write_text(MISUSE)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_a_kept_report_is_the_computed_one(source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = examine(source, folder)
    assert [finding.code for finding in first.findings] == ["NF403"]
    monkeypatch.setattr("normfix.linting.examine.examine_text", None)
    assert examine(source, folder) == first


def change_text(source: Path) -> Plan:
    source.write_text(MISUSE.replace("eval", "train"))
    return PLAN


def change_rules(source: Path) -> Plan:
    return Plan(frozenset({"NF301"}))


def change_options(source: Path) -> Plan:
    return Plan(PLAN.codes, {"missing-eval": "broad"})


def change_purpose(source: Path) -> Plan:
    return Plan(PLAN.codes, undecided=False)


@pytest.mark.parametrize("change", [change_text, change_rules, change_options, change_purpose])
def test_what_the_report_depends_on_names_the_entry(change: object, source: Path, folder: Path) -> None:
    examine(source, folder)
    plan = change(source)  # type: ignore[operator]
    assert examine(source, folder, plan) == examine_file(str(source), plan, Siblings())
    assert len(entries(folder)) == 2


def test_another_normfix_has_other_entries(source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examine(source, folder)
    monkeypatch.setattr("normfix.__version__", "99")
    examine(source, folder)
    assert len({path.parent.parent for path in entries(folder)}) == 2


BLOCK = """from torch import nn


def norm(width):
    return nn.{}(width)
"""
USER = """from torch import nn
from block import norm


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = norm(8)

    def forward(self, x):
        return self.norm(self.conv(x))
"""


@pytest.mark.parametrize(
    "spelling, called",
    [("from block import norm", "norm"), ("import block", "block.norm"), ("from . import block", "block.norm")],
)
def test_a_file_beside_it_that_changes_outdates_the_entry(
    spelling: str, called: str, source: Path, folder: Path
) -> None:
    source.with_name("__init__.py").touch()
    source.write_text(USER.replace("from block import norm", spelling).replace("= norm(8)", f"= {called}(8)"))
    assert examine(source, folder).findings == []
    block = source.with_name("block.py")
    found = []
    for name in ("BatchNorm2d", "Identity", "BatchNorm2d"):
        block.write_text(BLOCK.format(name))
        found.append([finding.code for finding in examine(source, folder).findings])
    block.unlink()
    found.append([finding.code for finding in examine(source, folder).findings])
    assert found == [["NF301"], [], ["NF301"], []]


DAMAGE = {
    "empty": b"",
    "cut": b'{"key": "',
    "no JSON": b"\x80\x04\x95pickle",
    "another shape": b"[1, 2]",
    "nothing in it": b"{}",
    "nested too deeply": b"[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_entry_is_computed_again(damage: bytes, source: Path, folder: Path) -> None:
    first = examine(source, folder)
    [entry] = entries(folder)
    whole = entry.read_bytes()
    entry.write_bytes(damage)
    assert examine(source, folder) == first
    assert entry.read_bytes() == whole, "it was not mended"


TAMPERED = {
    "of another key": ("key", "0" * 64),
    "without findings": ("report", {"undecided": [], "errors": []}),
    "with a finding of another shape": ("report", {"findings": [["NF301"]], "undecided": [], "errors": []}),
    "with another record": ("report", {"findings": [{"": "Site"}], "undecided": [], "errors": []}),
    "with an unknown record": ("report", {"findings": [{"": "os"}], "undecided": [], "errors": []}),
    "with a number for a text": ("report", {"findings": [], "undecided": [[1, 2, 3]], "errors": []}),
    "with a list of files that is none": ("beside", ["a.py"]),
}


@pytest.mark.parametrize("key, value", TAMPERED.values(), ids=TAMPERED)
def test_a_foreign_entry_is_computed_again(key: str, value: object, source: Path, folder: Path) -> None:
    first = examine(source, folder)
    [entry] = entries(folder)
    entry.write_text(json.dumps({**json.loads(entry.read_text()), key: value}))
    assert examine(source, folder) == first


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(source: Path, folder: Path) -> None:
    folder.mkdir(mode=0o500)
    assert len(examine(source, folder).findings) == 1


def test_a_folder_that_is_a_file(source: Path, folder: Path) -> None:
    folder.write_text("")
    assert len(examine(source, folder).findings) == 1


def test_a_failure_is_not_kept(source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Report:
        raise KeyError("bug")

    monkeypatch.setattr("normfix.linting.examine.examine_text", fail)
    assert examine(source, folder).errors
    assert entries(folder) == []


def test_runs_side_by_side(source: Path, tmp_path: Path) -> None:
    for number in range(40):
        source.with_name(f"{number}.py").write_text(MISUSE)
    command = [sys.executable, "-m", "normfix", "lint", str(source.parent), "--output-format", "concise"]
    environment = {**os.environ, "NORMFIX_CACHE_DIR": str(tmp_path / "cache")}
    pipe = subprocess.PIPE
    runs = [subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) for _ in range(4)]
    printed = [run.communicate() for run in runs]
    assert printed == [printed[0]] * 4
    assert "Found 41 errors" in printed[0][0]
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.suffix not in ("", ".json")]


def test_a_file_that_ends_its_process_costs_itself_only_though_the_rest_is_known(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examined = examine_text
    fatal = str(source.with_name("17.py"))

    def fragile(text: str, path: str, plan: Plan, siblings: Siblings) -> Report:
        source.with_name(f"{Path(path).name}.seen").touch()
        return os._exit(3) if path == fatal else examined(text, path, plan, siblings)

    for number in range(MANY):
        source.with_name(f"{number}.py").write_text(MISUSE)
    monkeypatch.setenv("NORMFIX_CACHE_DIR", str(folder))
    monkeypatch.setattr("normfix.linting.examine.examine_text", fragile)
    first = lint([str(source.parent)], jobs=2)
    for seen in source.parent.glob("*.seen"):
        seen.unlink()
    again = lint([str(source.parent)], jobs=2)
    assert [failure.path for failure in again.errors] == [fatal]
    assert again == first and len(again.findings) == MANY
    assert [seen.name for seen in source.parent.glob("*.seen")] == ["17.py.seen"]


def test_old_entries_go_once_a_day(source: Path, folder: Path) -> None:
    examine(source, folder)
    [entry] = entries(folder)
    os.utime(entry, (0, 0))
    (folder / "pruned").touch()
    cache.prune(str(folder))
    assert entries(folder) == [entry]
    os.utime(folder / "pruned", (0, 0))
    cache.prune(str(folder))
    assert entries(folder) == []


def test_every_remedy_survives() -> None:
    site = Site(Origin("a.py", 1, 2, 3, 4, cell=5), "net.conv")
    parts = (SetArgument(site, "bias", "False"), InsertStatement(site, "x", after=True))
    finding = Finding(
        "NF301", "bias-before-norm", Severity.WARNING, "m", "a.py", 1, 2, 3, 4, 5, "net", "h",
        Together(site, parts), Safety.UNSAFE, (("note", site), ("bare", Site())),
    )  # fmt: skip
    plain = Finding("NF901", "unused-suppression", Severity.ERROR, "m", "b.py", remedy=ReplaceComment(Site(), ""))
    report = Report([finding, plain], [Abstention("NF301", "a.py:1", "r")], [Failure("c.py", "r")])
    assert codec.decode(json.loads(json.dumps(codec.encode(report)))) == report


def test_a_change_in_any_room_of_normfix_makes_entries_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "normfix"
    (package / "checks").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    check = package / "checks" / "nf301.py"
    check.write_text("A = 1")
    monkeypatch.setattr("normfix.__file__", str(package / "__init__.py"))
    before = Cache(str(tmp_path / "kept")).folder

    check.write_text("A = 22")

    assert Cache(str(tmp_path / "kept")).folder != before
