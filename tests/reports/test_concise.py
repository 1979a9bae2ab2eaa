"""One line per finding, and what follows them."""

import pytest

from normfix.findings import Abstention, CompleteCall, Finding, Remedy, Report, Safety, Severity, Transform
from normfix.graph import Site
from normfix.reports import Options, colors, concise, render


def finding(severity: Severity = Severity.ERROR, **place: object) -> Finding:
    return Finding("NF201", "wrong-normalized-shape", severity, "message", **{"path": "a.py", **place})  # type: ignore[arg-type]


PLACES = {
    "source": (finding(line=3, column=5), "a.py:3:5"),
    "notebook": (finding(path="a.ipynb", line=3, column=5, cell=2), "a.ipynb:cell 2:3:5"),
    "model": (finding(path="", module="features.0"), "features.0"),
    "onnx": (finding(path="a.onnx", module="node_3"), "a.onnx:node_3"),
    "file": (finding(), "a.py"),
}


@pytest.mark.parametrize("one, place", PLACES.values(), ids=PLACES)
def test_places(one: Finding, place: str) -> None:
    assert render(Report([one]), "concise") == f"{place}: error[NF201] message\nFound 1 error\n"


ERROR, WARNING, INFO = (finding(severity) for severity in (Severity.ERROR, Severity.WARNING, Severity.INFO))
SUMMARIES = {
    "Nothing found": [],
    "Found 1 info": [INFO],
    "Found 2 errors": [ERROR, ERROR],
    "Found 1 error and 2 warnings": [WARNING, ERROR, WARNING],
    "Found 1 error, 1 warning and 2 infos": [ERROR, INFO, WARNING, INFO],
}


@pytest.mark.parametrize("summary, findings", SUMMARIES.items(), ids=SUMMARIES)
def test_summary(summary: str, findings: list[Finding]) -> None:
    assert concise.summary(Report(findings)) == summary


def test_undecided_is_shown_on_request_only() -> None:
    report = Report(undecided=[Abstention("NF301", "a.py:3", "what feeds `bn` is not known")])
    assert render(report, "concise") == "Nothing found\n"
    shown = render(report, "concise", Options(show_undecided=True))
    assert shown == "a.py:3: undecided[NF301] what feeds `bn` is not known\nNothing found\n"


def test_what_is_undecided_stands_in_the_order_of_lines() -> None:
    places = ["a.py:10", "a.py:9", "b.py:1", "a.py:9"]
    report = Report(undecided=[Abstention("NF301", where, str(number)) for number, where in enumerate(places)])
    shown = render(report, "concise", Options(show_undecided=True)).splitlines()[:-1]
    assert [line.split(": ")[0] + line[-1] for line in shown] == ["a.py:91", "a.py:93", "a.py:100", "b.py:12"]


def test_what_is_undecided_stands_in_the_order_of_cells() -> None:
    places = ["n.ipynb:cell 10:1", "n.ipynb:cell 9:2", "odd:cell name.py:3", "n.ipynb:cell 9:1"]
    report = Report(undecided=[Abstention("NF301", where, "r") for where in places])
    shown = render(report, "concise", Options(show_undecided=True)).splitlines()[:-1]
    assert [places.index(line.split(": ")[0]) for line in shown] == [3, 1, 0, 2]


def mended(remedy: Remedy | None, safety: Safety) -> Finding:
    return finding(line=1, column=1, remedy=remedy, safety=safety)


SAFE, UNSAFE = (mended(CompleteCall(Site()), safety) for safety in (Safety.SAFE, Safety.UNSAFE))
FIXES = {
    "nothing can be": ([ERROR], []),
    "only shown": ([mended(CompleteCall(Site()), Safety.DISPLAY)], []),
    "for a live model": ([mended(Transform(Site(), "swap"), Safety.SAFE)], []),
    "safe": ([SAFE, ERROR], ["1 can be fixed with `--fix`"]),
    "unsafe": ([UNSAFE, UNSAFE], ["2 can be fixed with `--unsafe-fixes`"]),
    "both": ([SAFE, UNSAFE], ["1 can be fixed with `--fix`, 1 more with `--unsafe-fixes`"]),
}


@pytest.mark.parametrize("findings, expected", FIXES.values(), ids=FIXES)
def test_what_can_be_fixed_follows_the_summary(findings: list[Finding], expected: list[str]) -> None:
    report = Report(findings)
    assert render(report, "concise", Options(fixes=True)).splitlines()[len(findings) + 1 :] == expected
    assert "can be fixed" not in render(report, "concise")


def test_statistics_count_rules_most_frequent_first() -> None:
    other = Finding("NF403", "uncalled-mode", Severity.ERROR, "message", "a.py")
    text = render(Report([other, *[ERROR] * 10]), "concise", Options(statistics=True))
    assert "10  NF201  wrong-normalized-shape\n 1  NF403  uncalled-mode\n" in text


class Terminal:
    """A stream that says what it is."""

    def __init__(self, terminal: bool) -> None:
        self.isatty = lambda: terminal


COLORS = {
    "a terminal": ({}, True, True),
    "a pipe": ({}, False, False),
    "NO_COLOR": ({"NO_COLOR": "1"}, True, False),
    "NO_COLOR that is empty": ({"NO_COLOR": ""}, True, True),
    "FORCE_COLOR": ({"FORCE_COLOR": "1"}, False, True),
    "NO_COLOR before FORCE_COLOR": ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
    "a dumb terminal": ({"TERM": "dumb"}, True, False),
}


@pytest.mark.parametrize("environment, terminal, wanted", COLORS.values(), ids=COLORS)
def test_colors(environment: dict[str, str], terminal: bool, wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert colors.wanted(Terminal(terminal)) is wanted  # type: ignore[arg-type]
