"""Statements, expressions and comments, where a remedy needs more than an argument."""

import ast

import pytest
from carrying import carried_out, carried_out_at, site_of

from normfix.findings import (
    AddParameter,
    CompleteCall,
    InsertStatement,
    RemoveStatement,
    ReplaceCallee,
    ReplaceComment,
    ReplaceExpression,
    Together,
    TransposeAround,
    WrapExpression,
)
from normfix.fixes import Broken, Refused
from normfix.graph import Origin, Site


def inserted(text: str, after: bool = False, index: int = 0) -> str:
    return carried_out_at(text, lambda site: InsertStatement(site, "m.eval()", after), ast.Call, index)


def test_nothing_goes_before_an_elif() -> None:
    with pytest.raises(Refused, match="elif"):
        inserted("if a:\n  b\nelif f():\n  c\n")


def test_nothing_goes_before_an_import_from_the_future() -> None:
    with pytest.raises(Refused, match="__future__"):
        carried_out_at("from __future__ import annotations\n", lambda s: InsertStatement(s, "a"), ast.ImportFrom)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("f()\n", "m.eval()\nf()\n", id="at the top level"),
        pytest.param("def g():\n\t# why\n\ty = f()\n", "def g():\n\t# why\n\tm.eval()\n\ty = f()\n", id="with tabs"),
        pytest.param("a = 1; f()\n", "a = 1; m.eval(); f()\n", id="behind a semicolon"),
        pytest.param("if a: f()\n", "if a: m.eval(); f()\n", id="behind a colon"),
        pytest.param("if a:\r\n  f()\r\n", "if a:\r\n  m.eval()\r\n  f()\r\n", id="CRLF"),
        pytest.param("x = [\n  f(),\n]\n", "m.eval()\nx = [\n  f(),\n]\n", id="a statement over several lines"),
        pytest.param("with f():\n  pass\n", "m.eval()\nwith f():\n  pass\n", id="the header of a compound statement"),
        pytest.param("@d\n@e(f())\ndef g(): pass\n", "m.eval()\n@d\n@e(f())\ndef g(): pass\n", id="before decorators"),
    ],
)
def test_a_statement_goes_before(text: str, expected: str) -> None:
    assert inserted(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("f()\n", "f()\nm.eval()\n", id="at the top level"),
        pytest.param("f()", "f()\nm.eval()", id="at the end of a file without a newline"),
        pytest.param("f()  # why\ng\n", "f()  # why\nm.eval()\ng\n", id="behind a comment"),
        pytest.param("f(); g\n", "f(); m.eval(); g\n", id="before a semicolon"),
        pytest.param("if a: f()\n", "if a: f(); m.eval()\n", id="behind a colon"),
        pytest.param("while f():\n  pass\n\nx\n", "while f():\n  pass\nm.eval()\n\nx\n", id="after a whole loop"),
    ],
)
def test_a_statement_goes_after(text: str, expected: str) -> None:
    assert inserted(text, after=True) == expected


LOOP = "for a in b:\n    c()"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("f()\n", f"f()\n{LOOP}\n", id="at the top level"),
        pytest.param("f()", f"f()\n{LOOP}", id="at the end of a file without a newline"),
        pytest.param("if a:\r\n  f()\r\n", "if a:\r\n  f()\r\n  for a in b:\r\n    c()\r\n", id="CRLF, two blanks"),
        pytest.param("if a:\n\tf()\n", "if a:\n\tf()\n\tfor a in b:\n\t\tc()\n", id="tabs"),
    ],
)
def test_a_loop_goes_after(text: str, expected: str) -> None:
    assert carried_out_at(text, lambda site: InsertStatement(site, LOOP, after=True)) == expected


@pytest.mark.parametrize("text", ["def g():\n  return f()\n", "raise f()\n"], ids=["return", "raise"])
def test_nothing_goes_where_it_would_not_run(text: str) -> None:
    with pytest.raises(Refused, match="nothing runs"):
        inserted(text, after=True)


@pytest.mark.parametrize("text", ["f(); g\n", "if a: f(); g()\n"], ids=["before a semicolon", "behind a colon"])
def test_a_loop_does_not_share_a_line(text: str) -> None:
    with pytest.raises(Refused, match="lines of its own"):
        carried_out_at(text, lambda site: InsertStatement(site, LOOP, after=True))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("f(); g\n", "shares", id="shares its line"),
        pytest.param("f(  # why\n)\n", "comment", id="holds a comment"),
        pytest.param("x = [f()]\n", "more than that", id="does more"),
    ],
)
def test_a_statement_that_cannot_go_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        carried_out_at(text, RemoveStatement)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a\nf()\nb\n", "a\nb\n", id="its line goes"),
        pytest.param("a\nf(\n  1)\n\nb\n", "a\n\nb\n", id="its lines go"),
        pytest.param("a\nf()  # why\n", "a\n# why\n", id="the comment stays"),
        pytest.param("def g():\n  f()\n", "def g():\n  pass\n", id="the last statement of a body"),
    ],
)
def test_a_statement_goes(text: str, expected: str) -> None:
    assert carried_out_at(text, RemoveStatement) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("m.eval", "m.eval()", id="a bare name"),
        pytest.param("(m.eval)  # off\n", "(m.eval())  # off\n", id="in parentheses"),
        pytest.param("m.eval; x = 1\n", "m.eval(); x = 1\n", id="before a semicolon"),
        pytest.param("m[\n 0].eval\r\n", "m[\n 0].eval()\r\n", id="over two lines"),
    ],
)
def test_a_call_is_completed(text: str, expected: str) -> None:
    assert carried_out_at(text, CompleteCall, ast.Attribute) == expected


@pytest.mark.parametrize(
    ("text", "new", "expected"),
    [
        pytest.param("y = a.b * 2", "c", "y = c * 2", id="an atom"),
        pytest.param("y = a.b * 2", "c + d", "y = (c + d) * 2", id="parentheses where it would bind otherwise"),
        pytest.param("y = a.b", "c + d", "y = c + d", id="none where it stands alone"),
        pytest.param("f(a.b, 1)", "c + d", "f(c + d, 1)", id="none as an argument"),
        pytest.param("a.b(1)", "c.d", "c.d(1)", id="the function of a call"),
    ],
)
def test_an_expression_is_replaced(text: str, new: str, expected: str) -> None:
    assert carried_out_at(text, lambda site: ReplaceExpression(site, new), ast.Attribute) == expected


def test_a_list_is_wrapped_and_stays_as_written() -> None:
    text = "self.x = [\n    f(1),  # one\n    f(2),\n]\n"
    wrapped = carried_out_at(text, lambda site: WrapExpression(site, "nn.ModuleList(", ")"), ast.List)
    assert wrapped == "self.x = nn.ModuleList([\n    f(1),  # one\n    f(2),\n])\n"


def test_a_wrap_that_binds_otherwise_is_caught() -> None:
    with pytest.raises(Broken, match="more than it names"):
        carried_out_at("y = a + b", lambda site: WrapExpression(site, "", ".t()"), ast.BinOp)


def test_a_function_takes_one_more_parameter() -> None:
    text = "class A:\n  def train(self: 'A'):  # off\n    return self\n"
    expected = text.replace("'A')", "'A', mode=True)")
    assert carried_out_at(text, lambda site: AddParameter(site, "mode=True"), ast.FunctionDef) == expected


@pytest.mark.parametrize("text", ["def f(): 0", "def f(a=1): 0", "def f(a, *b): 0", "def f(a, *, b): 0"])
def test_other_parameters_than_plain_ones_are_refused(text: str) -> None:
    with pytest.raises(Refused, match="parameters"):
        carried_out_at(text, lambda site: AddParameter(site, "mode=True"), ast.FunctionDef)


@pytest.mark.parametrize(
    ("line", "new", "expected"),
    [
        pytest.param("x = 1  # noqa: NF301\n", "", "x = 1\n", id="the blanks before it go too"),
        pytest.param("# noqa: NF301\nx = 1\n", "", "x = 1\n", id="a line of its own goes"),
        pytest.param("x = 1  # why # noqa: NF301\n", "", "x = 1  # why\n", id="the part of a comment"),
        pytest.param("x = 1  # noqa: NF301\n", "# noqa: NF1", "x = 1  # noqa: NF1\n", id="replaced"),
        pytest.param("é = '# ß'\r\nx = 1  # noqa: NF301\r\n", "", "é = '# ß'\r\nx = 1\r\n", id="CRLF"),
    ],
)
def test_a_comment_is_replaced(line: str, new: str, expected: str) -> None:
    assert carried_out(line, ReplaceComment(_site(line, "# noqa: NF301"), new)) == expected


def test_a_string_that_looks_like_a_comment_is_refused() -> None:
    text = "x = '# noqa: NF301'\n"
    with pytest.raises(Refused, match="no comment"):
        carried_out(text, ReplaceComment(_site(text, "# noqa: NF301"), ""))


def test_several_edits_are_made_together() -> None:
    text = "def g():\n  f(x)\n  return 1\n"
    site = site_of(text, ast.Call)
    remedy = Together(site, (InsertStatement(site, "m.eval()"), InsertStatement(site, "m.train()", after=True)))
    assert carried_out(text, remedy) == "def g():\n  m.eval()\n  f(x)\n  m.train()\n  return 1\n"


def _site(text: str, part: str) -> Site:
    start = text.index(part)
    line = text.count("\n", 0, start) + 1
    column = start - (text.rfind("\n", 0, start) + 1) + 1
    return Site(Origin("a.py", line, column, line, column + len(part)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("from torch.nn import BatchNorm2d\nBatchNorm2d(8)", "not imported", id="not imported"),
        pytest.param("norms[0](8)", "plain name", id="what is called has no name"),
    ],
)
def test_a_callee_that_cannot_be_replaced_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        carried_out_at(text, lambda site: ReplaceCallee(site, "BatchNorm1d"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("nn . BatchNorm2d (8)", "nn . BatchNorm1d (8)", id="an attribute, oddly spaced"),
        pytest.param(
            "from torch.nn import BatchNorm1d, BatchNorm2d\nBatchNorm2d(8)",
            "from torch.nn import BatchNorm1d, BatchNorm2d\nBatchNorm1d(8)",
            id="a name that is imported",
        ),
    ],
)
def test_a_callee_is_replaced(text: str, expected: str) -> None:
    assert carried_out_at(text, lambda site: ReplaceCallee(site, "BatchNorm1d")) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("norm(x)", "norm(x.transpose(1, 2)).transpose(1, 2)", id="a name"),
        pytest.param("-norm(a + b)", "-norm((a + b).transpose(1, 2)).transpose(1, 2)", id="a sum"),
        pytest.param(
            "norm(  # why\n  f(x),\n)", "norm(  # why\n  f(x).transpose(1, 2),\n).transpose(1, 2)", id="over lines"
        ),
    ],
)
def test_a_call_is_transposed_around(text: str, expected: str) -> None:
    assert carried_out_at(text, lambda site: TransposeAround(site, (1, 2))) == expected


@pytest.mark.parametrize("text", ["norm(x, y)", "norm(*x)", "norm(input=x)", "norm(a for a in x)", "norm()"])
def test_a_call_with_more_than_a_tensor_is_not_transposed_around(text: str) -> None:
    with pytest.raises(Refused, match="one tensor"):
        carried_out_at(text, lambda site: TransposeAround(site, (1, 2)))
