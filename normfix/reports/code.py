"""The lines of code that findings are about, read again when a report is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from normfix.script import lines_of
from normfix.sources import read_text


class Code:
    """Lines by path and cell, each file read once. A file that is gone has none."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = sources
        self._lines: dict[tuple[str, int | None], Sequence[str]] = {}

    def lines(self, path: str, cell: int | None = None) -> Sequence[str]:
        """The lines of a file, or of one cell of a notebook, counted from 1."""
        key = (path, cell)
        if key not in self._lines:
            text = self._text(path)
            self._lines[key] = lines_of(text if cell is None else _cell(text, cell)) if text else ()
        return self._lines[key]

    def _text(self, path: str) -> str:
        if path in self._sources:
            return self._sources[path]
        try:
            return read_text(path)
        except (OSError, ValueError):
            return ""


def _cell(text: str, number: int) -> str:
    """The source of the notebook's cell with this number, counted from 1."""
    import json

    try:
        source = json.loads(text)["cells"][number - 1]["source"]
    except (ValueError, LookupError, TypeError):
        return ""
    return source if isinstance(source, str) else "".join(source)
