"""One misuse in any formatting: the fix changes the call as meant, and no byte outside it."""

import ast

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from normfix.errors import Refused
from normfix.findings import InsertStatement, NameArgument, Remedy, SetArgument
from normfix.fixes.document import PythonFile
from normfix.fixes.edits import edited
from normfix.fixes.remedies import fix_for
from normfix.fixes.source import Source
from normfix.fixes.verify import check_tree, difference
from normfix.graph import Site
from normfix.readers.scripts import read

NEWLINES = st.sampled_from(["\n", "\r\n", "\r"])
COMMENTS = st.sampled_from(["", "# why", "#ü (", "# ), ]", "# 'open"])
NAMES = st.sampled_from(["a", "größe", "переменная", "x1", "宽度"])
ENCODINGS = "utf-8 utf-8-sig latin-1 iso-8859-15 cp1252 cp1251 koi8-r euc-jp shift_jis gbk big5 euc-kr".split()


@st.composite
def blanks(draw: st.DrawFn, newline: str) -> str:
    """Anything that may stand between two tokens inside parentheses."""
    pieces = draw(st.lists(st.sampled_from([" ", "\t", "\f", "  ", "\\\n", "\n", "\n\n"]), max_size=3))
    pieces += [f"{draw(COMMENTS)}\n" for piece in pieces if piece == "\n"]
    return "".join(pieces).replace("\n", newline)


@st.composite
def values(draw: st.DrawFn, newline: str) -> str:
    inner = draw(NAMES | st.sampled_from(["3", "(1)", "'ß,'", '"#"', "[1, 2]", "f(x for x in y)", "lambda: 0", "-1"]))
    space = blanks(newline)
    return f"({draw(space)}{inner}{draw(space)})" if draw(st.booleans()) else inner


@st.composite
def programs(draw: st.DrawFn) -> str:
    """A call `nn.Conv2d(value, value, ...)` in a random place and layout."""
    newline = draw(NEWLINES)
    space = blanks(newline)
    arguments = draw(st.lists(values(newline), min_size=1, max_size=3))
    first = len(arguments)
    arguments += [f"{name}{draw(space)}={draw(space)}{draw(values(newline))}" for name in draw(_keywords())]
    if draw(st.booleans()):
        arguments.insert(draw(st.integers(first, len(arguments))), f"**{draw(space)}{{'b': 1}}")
    listed = ",".join(f"{draw(space)}{argument}{draw(space)}" for argument in arguments)
    comma = draw(st.sampled_from(["", ","])) + draw(space)
    call = f"nn.Conv2d{draw(st.sampled_from(['', ' ', '  ']))}({listed}{comma})"
    before, after = draw(NAMES), draw(COMMENTS)
    line = draw(
        st.sampled_from(
            [
                f"{before} = 'ü', {call}  {after}",
                f"{before} = 1; {call} ;  {after}",
                f"{before} = [{call}, {before!r}]",
                f"@{before}({call}){newline}def f({before}={call}):{newline}\tpass",
                f"if {before}:{newline}\f\treturn_ = {call}{newline}",
                f"{before} = ({newline}  {call}{newline}){after}",
                f"assert {call} \\{newline} , {before}",
            ]
        )
    )
    head = draw(st.sampled_from(["", "# -*- ü -*-", "'''doc", "\f"]))
    head += "'''" if head == "'''doc" else ""
    return f"{head}{newline}{line}{draw(st.sampled_from(['', newline]))}"


def _keywords() -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(["stride", "padding", "bias"]), unique=True, max_size=3)


def _checked(text: str, remedy: Remedy) -> str:
    source = Source(text)
    made = fix_for(source, remedy)
    new = edited(text, made.edits)
    made.intend()
    check_tree(source.tree, new)
    start, end = source.range(remedy.site)
    assert new.startswith(text[:start]) and new.endswith(text[end:])
    return new


@settings(max_examples=300, deadline=None)
@given(programs())
@example("x = 'ü', nn.Conv2d(\r  1,\r  2)")
def test_an_argument_is_set_in_any_formatting(text: str) -> None:
    new = _checked(text, SetArgument(_site(text), "bias", "False"))
    assert _comments(text) == _comments(new)
    values = [ast.unparse(keyword.value) for keyword in _convs(ast.parse(new))[0].keywords if keyword.arg == "bias"]
    assert values == ["False"]


@settings(max_examples=150, deadline=None)
@given(programs())
def test_an_argument_is_named_in_any_formatting(text: str) -> None:
    try:
        new = _checked(text, NameArgument(_site(text), 0, "in_channels"))
    except Refused as refused:
        assert "follow" in refused.reason
        return
    assert _comments(text) == _comments(new)


@settings(max_examples=150, deadline=None)
@given(programs(), st.sampled_from(ENCODINGS))
def test_bytes_outside_the_call_stay_in_every_encoding(text: str, encoding: str) -> None:
    newline = "\r\n" if "\r\n" in text else "\n"
    text = f"# coding: {encoding.removesuffix('-sig')}{newline}{text}"
    data = text.encode(encoding, "replace")
    file = PythonFile.of(data)
    assume(_parses(data))  # a name that the encoding cannot write became `?`
    source = Source(file.text)
    remedy = SetArgument(_site(file.text), "bias", "False")
    made = fix_for(source, remedy)
    new = file.edited({None: made.edits})
    made.intend()
    assert difference(source.tree, ast.parse(new.data)) is None
    [start, end] = source.range(remedy.site)
    bom = len(data) - len(data.removeprefix(b"\xef\xbb\xbf"))
    head, tail = file.text[:start].encode(file.encoding), file.text[end:].encode(file.encoding)
    assert new.data[bom:].startswith(head) and new.data.endswith(tail) and new.data[:bom] == data[:bom]


@st.composite
def bodies(draw: st.DrawFn) -> str:
    """`nn.Conv2d(x)` somewhere among the statements of a block in a random layout."""
    newline, indent = draw(NEWLINES), draw(st.sampled_from(["\t", "  ", "    "]))
    other = st.sampled_from(["x = 1", "'ü'", "f(x, [", "if x: pass", "for y in x:", "# why", ""])
    lines = [
        line + {"f(x, [": f"{newline}2])", "for y in x:": f"{newline}{indent * 2}y()"}.get(line, "")
        for line in draw(st.lists(other, max_size=3))
    ]
    call = draw(
        st.sampled_from(
            [
                "nn.Conv2d(x)",
                "y = nn.Conv2d(x)",
                "return_ = [nn.Conv2d(x)]",
                "@d\ndef g(a=nn.Conv2d(x)):\n\t\t\t\t\t\t\tpass",
            ]
        )
    )
    call = call.replace("\n", f"{newline}{indent}")
    if "def" not in call:
        call = draw(st.sampled_from(["", "x = 'é'; "])) + call + draw(st.sampled_from(["", " ;", "; x = 2"]))
        call += draw(st.sampled_from(["", "  # ü", " "]))
    lines.insert(draw(st.integers(0, len(lines))), call)
    head = draw(st.sampled_from(["def f():", "if x:", "while True:  # why", "try:"]))
    tail = f"{newline}finally: pass" if head == "try:" else ""
    end = "" if lines[-1].endswith(("x)", "]")) and not tail else newline
    return f"{head}{newline}" + newline.join(f"{indent}{line}" if line else "" for line in lines) + tail + end


@settings(max_examples=200, deadline=None)
@given(bodies(), st.booleans())
def test_a_statement_is_inserted_in_any_formatting(text: str, after: bool) -> None:
    source = Source(text)
    made = fix_for(source, InsertStatement(_site(text), "m.eval()", after))
    new = edited(text, made.edits)
    made.intend()
    check_tree(source.tree, new)
    [edit] = made.edits
    assert edit.start == edit.end and new.count("m.eval()") == 1
    assert _comments(text) == _comments(new)


def _parses(data: bytes) -> bool:
    try:
        return bool(ast.parse(data).body)
    except SyntaxError:
        return False


def _convs(tree: ast.AST) -> list[ast.Call]:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "nn.Conv2d"]
    return sorted(calls, key=lambda call: (call.lineno, call.col_offset))


def _site(text: str) -> Site:
    script = read(text, "a.py")
    return script.site(_convs(script.tree)[0])


def _comments(text: str) -> list[str]:
    import io
    import tokenize

    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    tokens = tokenize.generate_tokens(io.StringIO(plain).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]
