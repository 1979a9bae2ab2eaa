"""A notebook as fixes see it: its cells are texts, and only the strings that hold a changed line are written anew."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from normfix.errors import Refused
from normfix.fixes.document import Unit
from normfix.fixes.edits import Edit, edited
from normfix.fixes.jsontext import Lines, items, members
from normfix.fixes.verify import Broken
from normfix.readers import notebook

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Notebook:
    """The bytes of an `.ipynb` file, and its code cells by number."""

    data: bytes
    text: str
    units: Mapping[Unit, str]
    """Cells as Python parses them: magics masked character by character. Those indented as a whole are left out."""

    @classmethod
    def of(cls, data: bytes) -> Notebook:
        """Raises `Refused` for a file that is no notebook."""
        try:
            text = data.removeprefix(_BOM).decode()
            return cls(data, text, {cell.number: cell.program for cell in notebook.cells(text) if not cell.opener})
        except ValueError as error:
            raise Refused(f"it is no notebook that can be read: {error}") from error

    def edited(self, edits: Mapping[Unit, Sequence[Edit]]) -> Notebook:
        raw: list[Edit] = []
        sources = _sources(self.text)
        for number, changes in edits.items():
            lines = sources[number]
            for edit in changes:
                text = lines.written(edit.text, edit.start, edit.end)
                raw.append(Edit(lines.offset(edit.start), lines.offset(edit.end), text))
        bom = _BOM if self.data.startswith(_BOM) else b""
        new = Notebook.of(bom + edited(self.text, raw).encode())
        _check_rest(self, new, edits)
        return new


def _sources(text: str) -> dict[Unit, Lines]:
    """The source of every cell, by number."""
    start = len(text) - len(text.lstrip())
    cells = items(text, members(text, start)["cells"][0])
    return {number: Lines.at(text, members(text, cell)["source"][0]) for number, (cell, _) in enumerate(cells, start=1)}


def _check_rest(old: Notebook, new: Notebook, edits: Mapping[Unit, Sequence[Edit]]) -> None:
    """Everything but the edited sources is the same, and those are what they were meant to be. Raises `Broken`."""
    before, after = _sources(old.text), _sources(new.text)
    for number, lines in before.items():
        if "".join(after[number].pieces) != edited("".join(lines.pieces), edits.get(number, ())):
            raise Broken(f"the source of cell {number} would not be what the fix makes of it")
    if _without_sources(old.text) != _without_sources(new.text):
        raise Broken("the fix would change more of the notebook than its code")


def _without_sources(text: str) -> object:
    plain = json.loads(text)
    for cell in plain["cells"]:
        cell["source"] = None
    return plain
