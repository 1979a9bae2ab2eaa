"""A file as fixes see it: bytes outside, texts inside, and edits carried from the texts to the bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from normfix import sources
from normfix.errors import Refused
from normfix.fixes.edits import Edit, edited
from normfix.fixes.verify import Broken

Unit = int | None
"""Which text of a file: the number of a notebook cell, None for a Python file."""
_BOM = b"\xef\xbb\xbf"


class Document(Protocol):
    """The bytes of a file and the Python texts in it."""

    @property
    def data(self) -> bytes: ...

    @property
    def text(self) -> str:
        """What the linter is given."""

    @property
    def units(self) -> Mapping[Unit, str]:
        """The Python texts, in the lines and columns of origins."""

    def edited(self, edits: Mapping[Unit, Sequence[Edit]]) -> Document:
        """The document with these edits made, every byte outside them the same."""


@dataclass(frozen=True)
class PythonFile:
    """A Python file in any encoding, with or without a byte order mark."""

    data: bytes
    text: str
    encoding: str

    @classmethod
    def of(cls, data: bytes) -> PythonFile:
        """Raises `Refused` for bytes that Python could not read."""
        try:
            return cls(data, sources.decode(data, ""), sources.declared_encoding(data))
        except ValueError as error:
            raise Refused(f"it cannot be decoded: {error}") from error

    @property
    def units(self) -> Mapping[Unit, str]:
        return {None: self.text}

    def edited(self, edits: Mapping[Unit, Sequence[Edit]]) -> PythonFile:
        old, new = [], []
        position = 0
        for edit in sorted(edits.get(None, ())):
            same = self._encode(self.text[position : edit.start])
            old += [same, self._encode(self.text[edit.start : edit.end])]
            new += [same, self._encode(edit.text)]
            position = edit.end
        rest = self._encode(self.text[position:])
        bom = _BOM if self.data.startswith(_BOM) else b""
        if b"".join((bom, *old, rest)) != self.data:
            raise Refused(f"text in {self.encoding} cannot be changed in part and stay the same elsewhere")
        result = PythonFile.of(b"".join((bom, *new, rest)))
        if result.encoding != self.encoding or result.text != edited(self.text, edits.get(None, ())):
            raise Broken(f"the fixed text does not read back from {self.encoding}")
        return result

    def _encode(self, text: str) -> bytes:
        try:
            return text.encode(self.encoding)
        except UnicodeError as error:
            raise Refused(f"the fix cannot be written in {self.encoding}: {error}") from error


def document(path: str, data: bytes) -> Document:
    """The file at this path. Raises `Refused` where it cannot be read."""
    if path.endswith(".ipynb"):
        from normfix.fixes.notebook import Notebook

        return Notebook.of(data)
    return PythonFile.of(data)
