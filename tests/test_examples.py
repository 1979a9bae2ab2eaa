"""The examples run, show what they are meant to show, and carry the findings that they are marked with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import ROOT, Session, matches, session

import normfix
from normfix.readers import notebook as notebooks

EXAMPLES = ROOT / "examples"
SOURCES = sorted(EXAMPLES.rglob("*.py"))
NOTEBOOK = EXAMPLES / "notebook" / "normfix.ipynb"
MARKER = re.compile(r"  # (NF\d{3})$", re.MULTILINE)


@pytest.fixture
def within() -> Iterator[Session]:
    pytest.importorskip("onnxscript")
    with session() as made:
        yield made


def marked(text: str) -> set[tuple[int, str]]:
    """Lines, and the code that each is marked with."""
    lines = enumerate(text.splitlines(), 1)
    return {(number, found[1]) for number, line in lines if (found := MARKER.search(line))}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_an_example_has_the_findings_it_is_marked_with(path: Path) -> None:
    report = normfix.lint([str(path)], cache=False)
    assert {(one.line, one.code) for one in report.findings} == marked(path.read_text(encoding="utf-8"))


def test_the_notebook_has_the_findings_it_is_marked_with() -> None:
    report = normfix.lint([str(NOTEBOOK)], cache=False)
    cells = notebooks.cells(NOTEBOOK.read_text(encoding="utf-8"))
    wanted = {(cell.number, line, code) for cell in cells for line, code in marked(cell.source)}
    assert {(one.cell, one.line, one.code) for one in report.findings} == wanted
    assert wanted


def test_together_they_show_mistakes_of_every_severity() -> None:
    report = normfix.lint([str(EXAMPLES)], cache=False)
    assert {one.severity for one in report.findings} == set(normfix.Severity)


def test_the_classifier_trains(within: Session) -> None:
    assert matches("accuracy ...\n", within.command("python examples/classifier/train.py"))


def test_group_norm_learns_where_batch_norm_does_not(within: Session) -> None:
    told = within.command("python examples/segmentation/move.py")
    before, after = told.split("group norm:\n")
    assert re.findall(r"^  (NF\d+) ", before, re.MULTILINE) == ["NF204", "NF501"]
    assert after.startswith("  no findings\n")
    with_batch, with_group = (float(number) for number in re.findall(r"union: (0\.\d+)", told))
    assert with_group > 0.5 > 2 * with_batch


def test_the_deployment_is_proven_and_runs(within: Session) -> None:
    told = within.command("python examples/deployment/deploy.py out")
    assert within.code == 0
    assert told.count("\nproven: ") == 2
    assert float(told.rpartition("accuracy in ONNX Runtime: ")[2]) == 1.0
    certificate = json.loads((within.folder / "out" / "proof.json").read_text(encoding="utf-8"))
    assert certificate["proof"]["holds"]
    assert [one["where"] for one in certificate["refused"]] == ["scale"]
    assert (within.folder / "out" / "fold.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_deployment_ends_where_something_is_found(within: Session) -> None:
    """Statistics that are broken stop it before anything is folded."""
    folder = within.folder / "examples" / "deployment"
    script = folder / "deploy.py"
    text = script.read_text(encoding="utf-8")
    broken = text.replace("    save_file(", "    model.scale.running_var[0] = -1\n    save_file(")
    assert broken != text
    script.write_text(broken, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script, "out"], cwd=within.folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "NF702" in done.stdout
    assert not (within.folder / "out" / "spotter.onnx").exists()


def test_the_notebook_runs_and_shows_what_it_showed() -> None:
    pytest.importorskip("onnxscript")
    from notebooks import executed, read

    assert len(NOTEBOOK.read_bytes()) < 100_000
    for old, new in zip(read(NOTEBOOK)["cells"], executed(NOTEBOOK)["cells"], strict=True):
        assert [shown(one) for one in old.get("outputs", ())] == [shown(one) for one in new.get("outputs", ())]


def shown(output: dict[str, object]) -> tuple[str, bool]:
    """The text of an output, without what is measured, and whether it is shown as HTML."""
    data = output.get("data", {})
    assert isinstance(data, dict)
    text = "".join(output.get("text") or data["text/plain"])  # type: ignore[arg-type]  # lists of lines
    return re.sub(r"\d+\.\d+(e-\d+)?|\d+e-\d+", "#", text), "text/html" in data
