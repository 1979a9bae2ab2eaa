"""Rewrite and Proof: what they print, and as plain values."""

from __future__ import annotations

import json

import pytest

from normfix.findings import Report
from normfix.rewrites import Change, Equivalence, Proof, Refusal, Rewrite, Trial

PROOF = Proof(True, 1e-15, None, 2e-7, ("not proven in ONNX Runtime: no export",), (Trial("given", 1e-15, 2e-7),))


def test_text_names_what_was_changed_what_stays_and_the_numbers():
    text = str(Rewrite(None, [Change("a.bn", "folded into `a.conv`")], [Refusal("b", "`b` has hooks")], PROOF))
    assert text.splitlines() == [
        "1 applied, 1 refused (eval only)",
        "  a.bn  folded into `a.conv`",
        "  b     stays: `b` has hooks",
        "proven: formula 1.0e-15, deployed -, rounding 2.0e-07",
        "not proven in ONNX Runtime: no export",
    ]


def test_a_model_that_it_is_not_about_is_no_riddle():
    lines = str(Rewrite(None, [], [], PROOF)).splitlines()
    assert lines[:2] == ["0 applied, 0 refused (eval only)", "the model holds nothing that this rewrite is about"]


def test_a_shell_shows_one_line():
    rewrite = Rewrite(None, [Change("a.bn", "folded into `a.conv`")], [], PROOF)
    assert repr(rewrite) == "<Rewrite: 1 applied, 0 refused, proven: formula 1.0e-15, deployed -, rounding 2.0e-07>"
    assert repr(PROOF) == "<Proof: proven: formula 1.0e-15, deployed -, rounding 2.0e-07>"
    assert repr(Report()) == "<Report: 0 findings, 0 undecided, 0 errors>"


def test_a_failed_proof_is_not_to_be_overlooked():
    assert str(Proof(False, 1.0, 1.0, 1e-7)).startswith("NOT PROVEN")


def test_a_swap_shows_its_drift():
    assert "drift 5.0e-01" in str(Proof(True, None, 1e-7, 1e-7, drift=0.5))


def test_plain_values_are_json():
    rewrite = Rewrite(None, [Change("a", "b")], [], PROOF, Equivalence.ALWAYS, ["note"], {"capture": 0.12345})
    plain = json.loads(json.dumps(rewrite.as_dict()))
    assert plain["equivalence"] == "always" and plain["seconds"] == {"capture": 0.123}
    assert plain["proof"]["trials"][0]["inputs"] == "given" and plain["proof"]["deployed"] is None


def test_a_rewrite_without_a_map_says_so():
    with pytest.raises(ValueError, match="no map"):
        Rewrite(None, [], [], PROOF).migrate({})
