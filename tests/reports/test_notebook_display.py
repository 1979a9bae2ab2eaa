"""What a notebook shows of results."""

from __future__ import annotations

import pytest

pytest.importorskip("jinja2")

from sample_networks import about, norms_of, residual

from normfix.findings import Failure, Report
from normfix.reports.html import environment, notebook
from normfix.rewrites import Change, Proof, Refusal, Rewrite


def test_without_jinja_the_notebook_falls_back_to_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "is_available", lambda: False)
    assert notebook.report(Report()) is None
    assert notebook.proof(Proof(True, 0.0, 0.0, 0.0)) is None


def test_jinja_is_found_where_it_is() -> None:
    assert environment.is_available()


def test_a_report_shows_findings_and_unreadable_files() -> None:
    report = about(norms_of(residual(3)), text="x = 1\n" * 9)
    report.errors.append(Failure("a.py", "cannot be <parsed>"))
    shown = notebook.report(report)
    assert shown
    assert shown.count('<div class="finding') == 3
    assert "1 error, 1 warning, 1 info" in shown
    assert "cannot be &lt;parsed&gt;" in shown
    assert "<mark>1</mark>" in shown


def test_a_long_report_is_cut_and_says_so() -> None:
    shown = notebook.report(about(norms_of(residual(130))))
    assert shown
    assert shown.count('<div class="finding') == 100
    assert "… and 30 more" in shown


def test_a_rewrite_shows_changes_refusals_and_its_proof() -> None:
    proof = Proof(False, 1e-3, None, 1e-7, ("`<b>`",))
    shown = notebook.rewrite(Rewrite(None, [Change("<i>", "gone")], [Refusal("bn", "hooks")], proof))
    assert shown
    assert "Not proven" in shown
    assert "1.0e-03" in shown
    assert "&lt;i&gt;" in shown
    assert "<i>" not in shown
    assert "<code>&lt;b&gt;</code>" in shown
    assert "1 applied, 1 refused" in shown


def test_fragments_need_nothing_from_elsewhere() -> None:
    for shown in (notebook.report(about(norms_of(residual(3)))), notebook.proof(Proof(True, 0.0, 1e-7, 1e-7))):
        assert shown
        assert [part for part in ("<script", "src=", "href=", "url(") if part in shown] == []
        assert len(shown) < 10_000
