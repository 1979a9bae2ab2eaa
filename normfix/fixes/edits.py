"""What carrying out a remedy means: edits of the text, and the same change made to the tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """Put `text` in place of the characters from `start` to `end`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """The text is edited; `intend` makes the same change to the old tree, and the two must agree afterwards."""

    edits: Sequence[Edit]
    intend: Callable[[], None]

    @property
    def span(self) -> tuple[int, int]:
        return min(edit.start for edit in self.edits), max(edit.end for edit in self.edits)


def edited(text: str, edits: Iterable[Edit]) -> str:
    """The text with all edits made. They must not overlap."""
    pieces: list[str] = []
    position = 0
    for edit in sorted(edits):
        if edit.start < position:
            raise ValueError(f"edits overlap at character {edit.start}")
        pieces += (text[position : edit.start], edit.text)
        position = edit.end
    return "".join((*pieces, text[position:]))


def smallest(old: str, new: str, offset: int) -> Edit:
    """The edit that turns `old`, which starts at `offset`, into `new`, without their common beginning and end."""
    limit = min(len(old), len(new))
    head = next((index for index in range(limit) if old[index] != new[index]), limit)
    limit -= head
    tail = next((index for index in range(limit) if old[-1 - index] != new[-1 - index]), limit)
    return Edit(offset + head, offset + len(old) - tail, new[head : len(new) - tail])


def unified(old: str, new: str, path: str) -> str:
    """The change as a unified diff that patch and git apply; empty where there is none."""
    from difflib import unified_diff

    lines = unified_diff(_lines(old), _lines(new), path, path)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _lines(text: str) -> list[str]:
    """Split at "\n" only, as patch and git read a diff."""
    lines = [f"{line}\n" for line in text.split("\n")]
    return [*lines[:-1], lines[-1][:-1]] if not text.endswith("\n") and text else lines[:-1]
