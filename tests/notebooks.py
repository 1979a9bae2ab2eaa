"""Runs a notebook in this process, and writes its outputs as Jupyter does: text, and HTML where a value has it.

python tests/notebooks.py NOTEBOOK...       # write the outputs into notebooks
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from documents import Session, session

_SHELL = re.compile(r"(?m)^(?:(?P<name>\w+) *= *)?!(?P<command>.+)$")


def outputs(notebook: Mapping[str, Any], within: Session) -> list[list[dict[str, Any]]]:
    """The outputs of each code cell, in order. A cell that raises ends the run."""
    within.names["_shell"] = within.command
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [_outputs("".join(cell["source"]), number, within.names) for number, cell in enumerate(cells, 1)]


def _outputs(source: str, number: int, names: dict[str, Any]) -> list[dict[str, Any]]:
    tree = ast.parse(_SHELL.sub(_command, source))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(compile(tree, f"cell {number}", "exec"), names)
        value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names) if last else None
    found: list[dict[str, Any]] = []
    if shown.getvalue():
        found.append({"name": "stdout", "output_type": "stream", "text": shown.getvalue().splitlines(keepends=True)})
    if value is not None:
        data = {"text/plain": repr(value).splitlines(keepends=True)}
        if html := getattr(value, "_repr_html_", lambda: None)():
            data["text/html"] = html.splitlines(keepends=True)
        found.append({"data": data, "execution_count": number, "metadata": {}, "output_type": "execute_result"})
    return found


def _command(found: re.Match[str]) -> str:
    """`!command`, and `name = !command`, which IPython gives a list of lines."""
    call = f"_shell({found['command']!r})"
    return f"{found['name']} = {call}.splitlines()" if found["name"] else f"print({call}, end='')"


def read(path: Path) -> dict[str, Any]:
    """A notebook as its JSON says."""
    plain: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return plain


def executed(path: Path) -> dict[str, Any]:
    """The notebook with the outputs of a run, in a copy of its folder."""
    notebook = read(path)
    with session() as within:
        os.chdir(within.folder / "examples" / "notebook")
        found = outputs(notebook, within)
    for number, (cell, new) in enumerate(
        zip((cell for cell in notebook["cells"] if cell["cell_type"] == "code"), found, strict=True), 1
    ):
        cell["execution_count"], cell["outputs"] = number, new
    return notebook


if __name__ == "__main__":
    for name in map(Path, sys.argv[1:]):
        name.write_text(json.dumps(executed(name.resolve()), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
