"""Fixes in rounds, each checked before it counts."""

import ast
from dataclasses import replace

import pytest
from toy import linter

from normfix.findings import CompleteCall, InsertStatement, Remedy, RemoveArgument, Report, Safety, SetArgument
from normfix.fixes import Broken, fix_text
from normfix.fixes.rounds import UNSAFE
from normfix.graph import Site


def test_an_unsafe_fix_is_left_unless_asked_for() -> None:
    lint = linter(safety=Safety.UNSAFE)
    left = fix_text("conv(1)\n", "a.py", lint)
    assert (left.text, left.applied, [reason for _, reason in left.left]) == ("conv(1)\n", [], [UNSAFE])
    assert fix_text("conv(1)\n", "a.py", lint, unsafe=True).text == "conv(1, bias=False)\n"


def test_a_finding_without_a_fix_is_neither_fixed_nor_left() -> None:
    fixed = fix_text("conv(1)\n", "a.py", linter(safety=Safety.DISPLAY), unsafe=True)
    assert (fixed.text, fixed.applied, fixed.left) == ("conv(1)\n", [], [])


def test_a_refusal_is_left_with_its_reason_and_the_others_are_fixed() -> None:
    fixed = fix_text("conv(*a)\nconv(1)\n", "a.py", linter())
    assert fixed.text == "conv(*a)\nconv(1, bias=False)\n"
    assert [(finding.line, "starred" in reason) for finding, reason in fixed.left] == [(1, True)]


def test_a_fix_in_another_file_is_left() -> None:
    def elsewhere(text: str, path: str) -> Report:
        report = linter()(text, "b.py")
        return Report([replace(finding, path=path) for finding in report.findings])

    [(_, reason)] = fix_text("conv(1)\n", "a.py", elsewhere).left
    assert "b.py" in reason


def test_a_fix_that_does_not_help_is_broken() -> None:
    with pytest.raises(Broken, match="still found"):
        fix_text("conv(1)\n", "a.py", linter(lambda site: SetArgument(site, "groups", "1")))


def test_fixes_that_undo_one_another_are_broken() -> None:
    def lint(text: str, path: str) -> Report:
        if "bias" in text:
            report = linter(lambda site: RemoveArgument(site, "bias"), misuse=lambda call: True)(text, path)
            return Report([replace(finding, message="no bias") for finding in report.findings])
        return linter()(text, path)

    with pytest.raises(Broken, match="undo one another"):
        fix_text("conv(1)\n", "a.py", lint)


def test_fixes_without_an_end_are_broken() -> None:
    def lint(text: str, path: str) -> Report:
        report = linter(lambda site: InsertStatement(site, "x"))(text, path)
        return Report([replace(finding, message=str(len(text))) for finding in report.findings])

    with pytest.raises(Broken, match="rounds"):
        fix_text("conv(1)\n", "a.py", lint)


def test_calls_inside_one_another_are_fixed_one_after_the_other() -> None:
    text = "conv(conv(conv(1), 2), conv(3))\n"
    fixed = fix_text(text, "a.py", linter())
    expected = "conv(conv(conv(1, bias=False), 2, bias=False), conv(3, bias=False), bias=False)\n"
    assert (fixed.text, len(fixed.applied)) == (expected, 4)


def test_one_statement_that_settles_two_findings_is_inserted_once() -> None:
    def lint(text: str, path: str) -> Report:
        return Report() if "m.eval()" in text else linter(lambda site: InsertStatement(site, "m.eval()"))(text, path)

    fixed = fix_text("conv(1)\nconv(2)\n", "a.py", lint)
    assert (fixed.text, len(fixed.applied)) == ("m.eval()\nconv(1)\nconv(2)\n", 1)


def test_a_second_run_changes_nothing() -> None:
    once = fix_text("conv(1)\n", "a.py", linter()).text
    again = fix_text(once, "a.py", linter())
    assert (again.text, again.applied) == (once, [])


def test_libcst_is_not_loaded_where_no_argument_changes() -> None:
    import subprocess
    import sys

    script = (
        "import sys\nfrom normfix.fixes import fix_text\nfrom normfix.linting.run import lint_source\n"
        "fixed = fix_text('model.eval\\n', 'a.py', lambda t, p: lint_source(t, p, select=['NF403']))\n"
        "print(fixed.text, 'libcst' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "model.eval()\n False\n"


def test_the_report_is_that_of_the_fixed_text() -> None:
    fixed = fix_text("conv(1)\nconv(*a)\n", "a.py", linter())
    assert [finding.line for finding in fixed.report.findings] == [2]


def complete(site: Site) -> Remedy:
    return CompleteCall(site)


def test_a_site_of_the_wrong_kind_is_left() -> None:
    [(_, reason)] = fix_text("conv(1)\n", "a.py", linter(complete)).left
    assert ast.Attribute.__name__ in reason
