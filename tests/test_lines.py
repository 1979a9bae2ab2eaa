"""What is looked for on the lines of a source is what an index of the whole file gives."""

import ast
from pathlib import Path

import pytest

from normfix.readers import scripts
from normfix.script import Script
from normfix.usage.lines import calls_with, lines_with

SOURCES = sorted((Path(__file__).parents[1] / "normfix" / "usage").glob("*.py"))
PROGRAM = """
@probe(1)
@other
class A(Base, metaclass=probe(2)):
    x: int = probe(3)

    @probe(
        4)
    async def f(self, y=probe(5), *z, k: probe(6) = None) -> probe(7):
        async with probe(8) as a, b: pass
        async for q in probe(9): continue
        else: probe(10)
        return [await probe(11) for _ in probe(12) if probe(13)]

if probe(14): probe(15); b = probe(16)
elif (n := probe(17)): pass
else: probe(18)
while probe(19): break
for a[probe(20)] in (
    probe(21),
):
    pass
try: raise E from probe(22)
except probe(23): probe(24)
else: probe(25)
finally: probe(26)
match probe(27):
    case B(x=1) if probe(28): probe(29)
    case _:
        f = lambda: probe(30)
a = other(
    1); c = (
    m.  # of m
    probe(31)
    (other))
print(f"{probe(32)} {1}", *probe(33), **probe(34))
assert probe(35), probe(36)
del a[probe(37)]
c = a if \\
    probe(38) else other()
"""


def both(text: str, word: str) -> tuple[list[str], list[str]]:
    """The calls of functions of this name, as they are found on their lines, and by the index."""
    near, whole = scripts.read(text, "a.py"), scripts.read(text, "a.py")
    found = [ast.dump(one) for one in calls_with(near, word) if _name(one) == word]
    assert not near.is_indexed
    return found, [ast.dump(one) for one in whole.of_type(ast.Call) if _name(one) == word]


def _name(call: ast.Call) -> str:
    return getattr(call.func, "attr", "") or getattr(call.func, "id", "")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_call_is_found_wherever_it_stands(end: str) -> None:
    near, whole = both(PROGRAM.replace("\n", end), "probe")
    assert sorted(near) == sorted(whole) and len(whole) == 38


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
@pytest.mark.parametrize("word", ["isinstance", "dotted", "get"])
def test_the_calls_of_a_source_come_in_its_order(path: Path, word: str) -> None:
    near, whole = both(path.read_text(encoding="utf-8"), word)
    assert near == whole


def test_statements_elsewhere_are_left_alone() -> None:
    script = scripts.read("a = f(1)\nif g():\n    b = f(2)\n    c = h(3)\n", "a.py")
    assert [ast.unparse(one) for one in calls_with(script, "h")] == ["g()", "h(3)"]


def test_the_whole_file_is_given_once_it_is_indexed() -> None:
    script = scripts.read("a = f(1)\nb = g(2)\n", "a.py")
    assert len(script.parents) > 2 and len(calls_with(script, "g")) == 2


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_the_parser_does(end: str) -> None:
    script: Script = scripts.read(f"a = 1{end}b = '''{end}\f word'''{end}c = 2  # word word{end}", "a.py")
    assert list(lines_with(script, "word")) == [3, 4, 4]
