"""Arguments set, named and removed, as a careful colleague would in the author's own layout."""

import ast

import pytest
from carrying import carried_out_at

from normfix.findings import NameArgument, RemoveArgument, SetArgument
from normfix.fixes import Refused


def without_bias(text: str) -> str:
    return carried_out_at(text, lambda site: SetArgument(site, "bias", "False"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("f(*a)", "starred", id="a starred argument may hold it already"),
        pytest.param("f(x for x in y)", "generator", id="a bare generator needs parentheses of its own"),
        pytest.param("f(__normfix_0__)", "name", id="the name that stands for a value is taken"),
        pytest.param("f'{f(a)}'", "f-string", id="inside an f-string"),
        pytest.param("f(a, **kw)", "may hold", id="options from elsewhere may hold it already"),
        pytest.param("f(a, **{'bias': 1})", "may hold", id="options hold it already"),
        pytest.param("f(a, **{k: 1})", "may hold", id="options of unknown names"),
        pytest.param("f(a, **dict(b, c=1))", "may hold", id="options that copy others"),
        pytest.param("f(a, **self.kw)", "may hold", id="options of an object"),
        pytest.param("f(a, **kw)\nkw = {'b': 1}\nkw['bias'] = 1", "may hold", id="options that are added to"),
        pytest.param("f(a, **kw)\nkw = {'b': 1}\nkw = g()", "may hold", id="options of two values"),
        pytest.param("def g(**kw): f(a, **kw)\nkw = {}", "may hold", id="options of the caller"),
        pytest.param("f(a, bias=1, bias=2)", "twice", id="passed twice"),
    ],
)
def test_a_call_that_cannot_take_the_argument_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        without_bias(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("f()", "f(bias=False)", id="no argument yet"),
        pytest.param("f(a)", "f(a, bias=False)", id="after a positional one"),
        pytest.param("f(a,)", "f(a, bias=False,)", id="the trailing comma stays trailing"),
        pytest.param("f( a, b )", "f( a, b, bias=False )", id="blanks inside the parentheses"),
        pytest.param("f(a,b)", "f(a,b,bias=False)", id="commas without blanks"),
        pytest.param("f(a, s = 1)", "f(a, s = 1, bias = False)", id="equal signs with blanks"),
        pytest.param("f(\n    a,\n    b\n)", "f(\n    a,\n    b,\n    bias=False\n)", id="one a line"),
        pytest.param("f(\n    a,\n    b,\n)", "f(\n    a,\n    b,\n    bias=False,\n)", id="one a line, magic comma"),
        pytest.param("f(a,\n  b)", "f(a,\n  b,\n  bias=False)", id="aligned with the parenthesis"),
        pytest.param("f(\n    a, b,\n)", "f(\n    a, b, bias=False,\n)", id="several a line"),
        pytest.param("f(\n\ta,\n\tb,\n)", "f(\n\ta,\n\tb,\n\tbias=False,\n)", id="tabs"),
        pytest.param("f(\r\n  a,\r\n  b\r\n)", "f(\r\n  a,\r\n  b,\r\n  bias=False\r\n)", id="CRLF"),
        pytest.param("f(\r  a,\r  b\r)", "f(\r  a,\r  b,\r  bias=False\r)", id="CR"),
        pytest.param(
            "f(\n    a,  # one\n    b  # two\n)",
            "f(\n    a,  # one\n    b,  # two\n    bias=False\n)",
            id="comments stay behind their argument",
        ),
        pytest.param(
            "f(\n    a,\n    b,  # two\n    # dilation=2,\n)",
            "f(\n    a,\n    b,  # two\n    # dilation=2,\n    bias=False,\n)",
            id="a comment on a line of its own stays",
        ),
        pytest.param("f(a  # one\n)", "f(a, bias=False  # one\n)", id="a comment before the parenthesis"),
        pytest.param("f(a, **{'b': 1})", "f(a, bias=False, **{'b': 1})", id="before the options"),
        pytest.param("f(**dict(b=1))", "f(bias=False, **dict(b=1))", id="before the options, nothing else"),
        pytest.param("f(a, **{}, b=1)", "f(a, bias=False, **{}, b=1)", id="before options that more keywords follow"),
        pytest.param(
            "f(\n  a,  # one\n  **kw\n)\nkw = {'device': d}",
            "f(\n  a,  # one\n  bias=False,\n  **kw\n)\nkw = {'device': d}",
            id="before the options, one a line",
        ),
        pytest.param("f(a \\\n  , b)", "f(a \\\n  , b, bias=False)", id="line continuation"),
        pytest.param("(f\n (a))", "(f\n (a, bias=False))", id="the call itself is broken over lines"),
        pytest.param("é = 'ß'; f('ü', b)  # ö", "é = 'ß'; f('ü', b, bias=False)  # ö", id="non-ASCII before it"),
        pytest.param("\x0cf(a)", "\x0cf(a, bias=False)", id="form feed before it"),
        pytest.param("f(a)(b)", "f(a)(b, bias=False)", id="the function is a call itself"),
        pytest.param("f((a for a in b))", "f((a for a in b), bias=False)", id="a generator in parentheses of its own"),
        pytest.param("f(a, bias=True)", "f(a, bias=False)", id="the value is replaced"),
        pytest.param("f(bias = (True), *a)", "f(bias = (False), *a)", id="value in parentheses, starred after it"),
        pytest.param("f(bias=not n or(1), b=2)", "f(bias=False, b=2)", id="an expression without blanks is replaced"),
        pytest.param(
            "nn.Conv2d(1, 2, 3, 1, 1, 1, 1, True)", "nn.Conv2d(1, 2, 3, 1, 1, 1, 1, False)", id="passed by position"
        ),
        pytest.param(
            "@d(nn.Linear(1, 2))\nclass A: pass", "@d(nn.Linear(1, 2, bias=False))\nclass A: pass", id="in a decorator"
        ),
    ],
)
def test_an_argument_is_set(text: str, expected: str) -> None:
    index = 1 if text.startswith("@") else 0
    assert carried_out_at(text, lambda site: SetArgument(site, "bias", "False"), index=index) == expected


def test_the_position_that_the_check_knows_wins_over_an_alias() -> None:
    text = "C(1, 2, True)"
    assert carried_out_at(text, lambda site: SetArgument(site, "bias", "False", position=2)) == "C(1, 2, False)"


def test_a_huge_argument_is_not_given_to_libcst() -> None:
    total = " + ".join(["1"] * 600)
    assert without_bias(f"f({total}, [[[[x]]]])") == f"f({total}, [[[[x]]]], bias=False)"


def named(text: str, later: tuple[str, ...] = ()) -> str:
    return carried_out_at(text, lambda site: NameArgument(site, 1, "eps", later))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("f(c, 0.8, 0.1)", "follow", id="another positional one follows, without a name"),
        pytest.param("f(c, *a)", "position", id="it is starred itself"),
        pytest.param("f(*a, 0.8)", "position", id="a starred one stands before it"),
        pytest.param("f(c)", "position", id="there is no such argument"),
        pytest.param("f(c, 0.8, eps=1)", "keyword as well", id="it is passed by keyword as well"),
        pytest.param("f(c, e := 0.8)", "assigned", id="it assigns a name"),
    ],
)
def test_an_argument_that_cannot_be_named_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        named(text)


@pytest.mark.parametrize(
    ("text", "later", "expected"),
    [
        pytest.param("f(c, 0.8)", (), "f(c, eps=0.8)", id="the last positional one"),
        pytest.param("f(c, 0.8, affine = True)", (), "f(c, eps = 0.8, affine = True)", id="a keyword follows"),
        pytest.param("f(c, 0.8, 0.1)", ("momentum",), "f(c, eps=0.8, momentum=0.1)", id="what follows is named too"),
        pytest.param("f(c,\n  0.8,  # why\n  )", (), "f(c,\n  eps=0.8,  # why\n  )", id="the comment stays"),
        pytest.param("f(c, (0.8))", (), "f(c, eps=(0.8))", id="parentheses stay"),
    ],
)
def test_an_argument_is_named(text: str, later: tuple[str, ...], expected: str) -> None:
    assert named(text, later) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("f(a, 1)", "by keyword", id="it is not there"),
        pytest.param("f(\n  x=1,  # why\n  a=2)", "comment", id="a comment would be lost"),
        pytest.param("f(\n  a,  # why\n  x=1)", "comment", id="the comment of its neighbour would be lost"),
        pytest.param("f(x=1  # why\n)", "comment", id="the comment of the only one would be lost"),
    ],
)
def test_an_argument_that_cannot_go_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        carried_out_at(text, lambda site: RemoveArgument(site, "x"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("f(x=1)", "f()", id="the only one"),
        pytest.param("f(\n  x=1,\n)", "f()", id="the only one, on its own line"),
        pytest.param("f(x=1, a=2)", "f(a=2)", id="the first one"),
        pytest.param("f(a, x=1)", "f(a)", id="the last one"),
        pytest.param("f(a, x=1,)", "f(a,)", id="the last one, trailing comma"),
        pytest.param("f(\n  a,\n  x=1,\n  b=2,\n)", "f(\n  a,\n  b=2,\n)", id="one in the middle, one a line"),
    ],
)
def test_an_argument_is_removed(text: str, expected: str) -> None:
    assert carried_out_at(text, lambda site: RemoveArgument(site, "x")) == expected


def test_a_site_that_is_no_call_is_refused() -> None:
    with pytest.raises(Refused, match="Call"):
        carried_out_at("f(a)", lambda site: SetArgument(site, "bias", "False"), ast.Name)
