"""Runs the cases of `tests/cases`: what each source rule must find, and what it must leave alone."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from normfix.linting import run as linting

HEADER = (
    "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\nfrom functools import partial\n"
    "from collections import OrderedDict\n\n\n"
)
CLASS = """class Block(nn.Module):
    def __init__(self, width=8, use_norm=True, **options):
        super().__init__()
{init}

    def forward(self, x):
{forward}
"""
SECTION = re.compile(r"^## (Silent|Found)$|^### (.+)\n\n```(python|layers)\n((?:.*\n)*?)```$", re.MULTILINE)
FILES = sorted(path for path in (Path(__file__).parent / "cases").glob("NF*.md"))


@dataclass(frozen=True)
class Case:
    code: str
    section: str
    reason: str
    text: str

    @property
    def marked(self) -> list[int]:
        return [number for number, line in enumerate(self.text.splitlines(), 1) if line.endswith(f"  # {self.code}")]


def cases_of(path: Path) -> list[Case]:
    found, section = [], ""
    for heading, reason, info, body in SECTION.findall(path.read_text(encoding="utf-8")):
        if heading:
            section = heading
            continue
        if info == "layers":
            init, _, forward = body.partition("---\n")
            body = CLASS.format(init=textwrap.indent(init, " " * 8), forward=textwrap.indent(forward, " " * 8))
        found.append(Case(path.stem, section, reason, HEADER + body))
    return found


CASES = [case for path in FILES for case in cases_of(path)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code} {case.section.lower()}: {case.reason}")
def test_case(case: Case) -> None:
    report = linting.lint_source(case.text.replace(f"  # {case.code}", ""), "model.py", select=[case.code])
    assert [finding.line for finding in report.findings] == case.marked, [one.message for one in report.findings]
    assert bool(case.marked) == (case.section == "Found")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_block_is_a_case(path: Path) -> None:
    """A heading or a fence that is not written as the others are would drop its case in silence."""
    text = path.read_text(encoding="utf-8")
    assert len(cases_of(path)) == text.count("\n### ") == text.count("```") // 2
    assert len({(case.section, case.reason) for case in cases_of(path)}) == len(cases_of(path))
