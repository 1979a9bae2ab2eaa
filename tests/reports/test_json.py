"""The JSON report is one object with three lists, each finding with every field."""

import json

from normfix.findings import Abstention, Failure, Finding, Report, Safety, SetArgument, Severity
from normfix.graph import Origin, Site
from normfix.reports import render


def test_everything_is_plain() -> None:
    site = Site(Origin("a.py", 3, 5, 3, 9))
    finding = Finding(
        "NF301", "bias-before-norm", Severity.WARNING, "message", "a.py", 3, 5, 3, 9,
        remedy=SetArgument(site, "bias", "False"), safety=Safety.UNSAFE, related=[("the norm", site)],
    )  # fmt: skip
    report = Report([finding], [Abstention("NF201", "a.py:7", "unknown")], [Failure("b.py", "gone")])
    plain = json.loads(render(report, "json"))
    assert list(plain) == ["findings", "undecided", "errors"]
    assert plain["undecided"] == [{"code": "NF201", "where": "a.py:7", "reason": "unknown"}]
    assert plain["errors"] == [{"path": "b.py", "reason": "gone"}]
    origin = {"path": "a.py", "line": 3, "column": 5, "end_line": 3, "end_column": 9, "cell": None}
    place = {"origin": origin, "module": None}
    assert plain["findings"] == [
        {
            "code": "NF301", "slug": "bias-before-norm", "severity": "warning", "message": "message",
            "path": "a.py", "line": 3, "column": 5, "end_line": 3, "end_column": 9, "cell": None, "module": None,
            "help": "", "safety": "unsafe", "related": [{"note": "the norm", **place}],
            "remedy": {"kind": "SetArgument", "site": place, "name": "bias", "value": "False", "position": None},
        }
    ]  # fmt: skip
