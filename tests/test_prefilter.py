"""The prefilter leaves out nothing that a page shows."""

import re
from pathlib import Path

import pytest

from normfix import lint_source
from normfix.linting.prefilter import may_misuse

PAGES = sorted((Path(__file__).parents[1] / "rules").glob("*.md"))
BLOCKS = [
    pytest.param(block, id=f"{page.stem[:5]}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S))
]


@pytest.mark.parametrize("text", BLOCKS)
def test_what_pages_show_is_looked_at(text: str) -> None:
    assert may_misuse(text)


def test_files_without_networks_are_left_alone() -> None:
    assert not may_misuse("import os\n\n\ndef evaluate(train):\n    return os.environ\n")


def test_a_comment_may_be_useless_anywhere() -> None:
    assert [finding.code for finding in lint_source("x = 1  # noqa: NF301\n").findings] == ["NF901"]


def test_syntax_errors_are_told_anywhere() -> None:
    assert [finding.code for finding in lint_source("x = (\n").findings] == ["NF902"]
