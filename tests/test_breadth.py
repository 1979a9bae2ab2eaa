"""Every rule that reads source is tested on at least six spellings of the misuse and ten look-alikes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from math import prod
from pathlib import Path

import pytest

from normfix import engine

HERE = Path(__file__).parent
FOUND, SILENT = 6, 10
RULES = sorted({check.rule.code for check in engine.checks() if "source" in check.rule.readers})


def in_cases(code: str) -> tuple[int, int]:
    """How many cases of `tests/cases` find, and how many are silent."""
    path = HERE / "cases" / f"{code}.md"
    silent, _, found = path.read_text(encoding="utf-8").partition("## Found") if path.exists() else ("", "", "")
    return found.count("\n### "), silent.count("\n### ")


def in_tests(code: str) -> tuple[int, int]:
    """How many tests of `tests/checks` assert that the rule fires, and that it is silent."""
    found = silent = 0
    for path in (HERE / "checks").glob(f"test_{code.lower()}_*.py"):
        for test in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
                called = [one.func.id for one in calls(test) if isinstance(one.func, ast.Name)]
                found += called.count("fires") * times(test)
                silent += called.count("silent") * times(test)
    return found, silent


def calls(node: ast.AST) -> Iterator[ast.Call]:
    return (one for one in ast.walk(node) if isinstance(one, ast.Call))


def times(test: ast.FunctionDef) -> int:
    """How often pytest runs a test."""
    lists = [one.args[1] for one in test.decorator_list if isinstance(one, ast.Call) and len(one.args) == 2]
    return prod(len(one.elts) for one in lists if isinstance(one, ast.List))


@pytest.mark.parametrize("code", RULES)
def test_each_rule_is_tried_in_many_spellings(code: str) -> None:
    found, silent = (one + two for one, two in zip(in_cases(code), in_tests(code), strict=True))
    assert found >= FOUND
    assert silent >= SILENT
