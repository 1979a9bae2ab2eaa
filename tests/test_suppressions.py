"""What a comment suppresses, what it does not, and when it is useless."""

import pytest

from normfix import lint_source
from normfix.findings import ReplaceComment

HEAD = "import torch\n\ndef f(model: torch.nn.Module):\n"


def lines(body: str, **selection: list[str]) -> list[tuple[str, int | None]]:
    report = lint_source(HEAD + body, "a.py", **selection)  # type: ignore[arg-type]
    return [(finding.code, finding.line) for finding in report.findings]


SILENT = {
    "every rule": "    model.eval  # noqa\n",
    "its code": "    model.eval  # noqa: NF403\n",
    "the beginning of its code": "    model.eval  # noqa: NF4\n",
    "its slug": "    model.eval  # noqa: uncalled-mode\n",
    "in lower case": "    model.eval  # NoQA:nf403\n",
    "after other codes": "    model.eval  # noqa: E501,W291 NF403\n",
    "after another comment": "    model.eval  # on purpose  # noqa: NF403\n",
    "with its reason": "    model.eval  # noqa: NF403 because the caller wants it\n",
    "on the last line of the finding": "    (model\n     .eval)  # noqa: NF403\n",
    "the whole file": "    # normfix: noqa\n    model.eval\n    model.train\n",
    "the whole file, its code": "    model.eval\n    # normfix: noqa: NF403\n",
}


@pytest.mark.parametrize("body", SILENT.values(), ids=SILENT)
def test_suppressed(body: str) -> None:
    assert lines(body) == []


LOUD = {
    "another code": "    model.eval  # noqa: E501\n",
    "a list that names nothing": "    model.eval  # noqa:\n",
    "another line": "    # noqa\n    model.eval\n",
    "in a string": "    model.eval; '# noqa: NF403'\n",
    "of another tool for the whole file": "    # ruff: noqa\n    model.eval\n",
}


@pytest.mark.parametrize("body", LOUD.values(), ids=LOUD)
def test_not_suppressed(body: str) -> None:
    assert [code for code, _ in lines(body)] == ["NF403"]


USED = {
    "no code": "    model.eval()  # noqa\n",
    "codes of other linters": "    model.eval()  # noqa: E501, B018\n",
    "in a string": "    '''\n    model.eval()  # noqa: NF403\n    '''\n",
    "a rule that source does not decide": "    model.eval()  # noqa: NF204\n",
    "NF901 is named too": "    model.eval()  # noqa: NF403, NF901\n",
    "the rule is not selected, but would fire": "    model.eval  # noqa: NF403\n",
}


@pytest.mark.parametrize("body", USED.values(), ids=USED)
def test_not_reported_as_unused(body: str) -> None:
    assert lines(body, select=["NF901"]) == []


UNUSED = {
    "    model.eval()  # noqa: NF403\n": "",
    "    model.eval()  # noqa: NF403, E501\n": "# noqa: E501",
    "    model.eval()  # noqa: NF403 as it was once\n": "#",
    "    # normfix: noqa: NF403\n    pass\n": "",
    "    model.eval  # noqa: NF403, NF999\n": "# noqa: NF403",
}


@pytest.mark.parametrize("body, replacement", UNUSED.items(), ids=[body.strip() for body in UNUSED])
def test_unused(body: str, replacement: str) -> None:
    [finding] = lint_source(HEAD + body, "a.py").findings
    assert (finding.code, finding.line) == ("NF901", 4)
    assert isinstance(finding.remedy, ReplaceComment)
    assert finding.remedy.text == replacement


def test_the_place_of_an_unused_comment_counts_characters() -> None:
    [finding] = lint_source(HEAD + "    'é中'  # noqa: NF403\n", "a.py").findings
    assert (finding.column, finding.end_column) == (11, 24)


def test_unused_comments_are_not_looked_for_when_ignored() -> None:
    assert lines("    model.eval()  # noqa: NF403\n", ignore=["NF901"]) == []
