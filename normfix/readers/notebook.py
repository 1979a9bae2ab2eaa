"""Jupyter notebooks -> one `Script`: the code cells in order, magics and shell lines masked, spans within the cell."""

from __future__ import annotations

import ast
import re
from bisect import bisect_right
from collections.abc import Callable

from normfix.graph import Origin
from normfix.readers import scripts
from normfix.records import dataclass, replace
from normfix.script import Script

PYTHON_CELLS = frozenset({"time", "timeit", "capture", "prun", "debug", "mypy", "notify"})
"""Cell magics whose cell holds Python of this notebook."""
_CELL_MAGIC = re.compile(r"\s*%%(\w+)")
_LINE_MAGIC = re.compile(r"\s*(?P<magic>[%!?].*)$")
_ASSIGNED = re.compile(r"\s*[\w.,\s\[\]\"']+=\s*(?P<magic>[%!].*)$")
_HELP = re.compile(r"\s*(?P<magic>[\w.]+\?\??)\s*(#.*)?$")
_TOKENS = re.compile(r"'''|\"\"\"|'|\"|#|[()\[\]{}]|\\.?")


@dataclass(frozen=True, slots=True)
class Cell:
    """One code cell that holds Python."""

    number: int
    """Its place among all cells of the notebook, from 1."""
    source: str
    program: str
    """The source with magics and shell lines replaced, character by character, by something that has no effect."""
    opener: str = ""
    """A line to put before a cell that is indented as a whole: IPython takes the indentation away."""

    @property
    def text(self) -> str:
        return self.opener + self.program


def read(text: str, path: str) -> Script:
    """One script over the code cells of a notebook. Raises ValueError, with a sentence, where there is none."""
    found = cells(text)
    for cell in found:
        _must_parse(cell)
    program = "\n".join(cell.text for cell in found)
    tree = scripts.parse(program)
    return scripts.index(tree, program, path, _within_cells(found, scripts.spans(program, path)))


def cells(text: str) -> list[Cell]:
    """The Python cells of a notebook, given as JSON text. Raises ValueError for what is no notebook."""
    import json

    try:
        notebook = json.loads(text)
    except RecursionError as error:
        raise ValueError("the notebook is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"the notebook is no valid JSON: {error}") from error
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        old = isinstance(notebook, dict) and "worksheets" in notebook
        raise ValueError("the notebook is of format 3 or older" if old else "the notebook has no list of cells")
    if not _is_python(notebook):
        return []
    found: list[Cell] = []
    for number, cell in enumerate(notebook["cells"], 1):
        if not isinstance(cell, dict):
            raise ValueError(f"cell {number} of the notebook is no object")
        if cell.get("cell_type") == "code":
            source = _source(cell, number)
            program = mask(source)
            found.append(Cell(number, source, program, _opener(program)))
    return found


def _is_python(notebook: dict[str, object]) -> bool:
    metadata = notebook.get("metadata")
    for key, name in (("language_info", "name"), ("kernelspec", "language")):
        about = metadata.get(key) if isinstance(metadata, dict) else None
        if isinstance(about, dict) and isinstance(about.get(name), str):
            return str(about[name]).lower() in ("python", "ipython")
    return True


def _source(cell: dict[str, object], number: int) -> str:
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        return "".join(source)
    if isinstance(source, str):
        return source
    raise ValueError(f"the source of cell {number} is neither text nor a list of lines")


def mask(source: str) -> str:
    """A cell of which Python can read every line: the same length, the same line breaks."""
    lines = re.split("(\r\n|\r|\n)", source)
    first = next((line for line in lines[::2] if line.strip()), "")
    magic = _CELL_MAGIC.match(first)
    if magic and magic[1] not in PYTHON_CELLS:
        return "".join(" " * len(line) if index % 2 == 0 else line for index, line in enumerate(lines))
    inside, depth, continued, dropped = "", 0, False, False
    for index in range(0, len(lines), 2):
        line = lines[index]
        found = None if inside or depth or continued else _magic(line)
        if dropped or found:
            start = len(line) - len(line.lstrip()) if dropped or found is None else found.start("magic")
            dropped = line.endswith("\\")
            # `0` keeps an indented block from being empty, and an assignment from having no value.
            lines[index] = line[:start] + "0".ljust(len(line) - start) if found else " " * len(line)
            continue
        inside, depth = _scan(line, inside, depth)
        continued = line.endswith("\\")
    return "".join(lines)


def _magic(line: str) -> re.Match[str] | None:
    return _LINE_MAGIC.match(line) or _HELP.match(line) or _ASSIGNED.match(line)


def _scan(line: str, inside: str, depth: int) -> tuple[str, int]:
    """The triple quote and the depth of brackets that the next line stands in."""
    for token in _TOKENS.finditer(line):
        mark = token[0]
        if inside:
            inside = "" if mark == inside else inside
        elif mark == "#":
            break
        elif mark[0] in "'\"":
            inside = mark
        elif mark in "([{":
            depth += 1
        elif mark in ")]}":
            depth = max(0, depth - 1)
    return (inside if len(inside) == 3 else ""), depth


def _opener(program: str) -> str:
    first = next((line for line in program.splitlines() if line.strip()), "")
    if not first[:1].isspace():
        return ""
    try:
        scripts.parse(f"if 1:\n{program}")
    except SyntaxError:
        return ""
    return "if 1:\n"


def _must_parse(cell: Cell) -> None:
    try:
        scripts.parse(cell.text)
    except SyntaxError as error:
        raise ValueError(f"cell {cell.number}, line {error.lineno}: {error.msg}") from error


def _within_cells(found: list[Cell], origin_of: Callable[[ast.AST], Origin]) -> Callable[[ast.AST], Origin]:
    starts = [1]
    for cell in found:
        starts.append(starts[-1] + len(re.findall("\r\n|\r|\n", cell.text)) + 1)

    def within(node: ast.AST) -> Origin:
        whole = origin_of(node)
        index = bisect_right(starts, whole.line) - 1
        if not 0 <= index < len(found):
            return whole
        shift = starts[index] - 1 + len(found[index].opener.splitlines())
        return replace(whole, line=whole.line - shift, end_line=whole.end_line - shift, cell=found[index].number)

    return within
