"""The SVG that leather draws, cut down: flat, without colours and fonts of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from xml.etree import ElementTree


@dataclass(frozen=True, slots=True)
class Frame:
    """The axes of a plot."""

    label: str
    """What a screen reader says."""
    width: int = 260
    height: int = 150
    log: bool = False
    x_ticks: Mapping[float, str] | None = None


def tidied(group: ElementTree.Element, frame: Frame) -> str:
    """The drawing laid flat: one path for the grid, the labels, one path for each line; classes in place of colours."""
    parts = _parts(group)
    grid = "".join(f"M{_at(x1)} {_at(y1)}L{_at(x2)} {_at(y2)}" for x1, y1, x2, y2 in parts.grid)
    labels = "".join(
        f'<text x="{_at(x)}" y="{_at(y)}" class="{anchor}">{escape(text)}</text>' for x, y, anchor, text in parts.labels
    )
    lines = "".join(f'<path class="line {escape(style)}" d="{path}"/>' for style, path in parts.lines)
    top = min(y1 for _, y1, _, _ in parts.grid) - 6
    height = max(y2 for _, _, _, y2 in parts.grid) + 14 - top
    box = f'viewBox="0 {_at(top)} {frame.width} {_at(height)}" role="img" aria-label="{escape(frame.label)}"'
    return f'<svg class="plot" {box}><path class="grid" d="{grid}"/>{labels}{lines}</svg>'


@dataclass(frozen=True, slots=True)
class _Parts:
    grid: list[tuple[float, float, float, float]]
    labels: list[tuple[float, float, str, str]]
    lines: list[tuple[str, str]]


def _parts(group: ElementTree.Element) -> _Parts:
    """What leather drew, moved to where its nested groups put it; without its legend and its background."""
    found = _Parts([], [], [])
    todo = [(group, 0.0, 0.0, False)]
    while todo:
        element, right, down, in_axis = todo.pop(0)
        in_axis = in_axis or (element.get("class") or "").startswith("axis")
        shift = [float(number) for number in re.findall(r"[-\d.]+", element.get("transform") or "0 0")]
        right, down = right + shift[0], down + shift[1]
        if element.tag == "line":
            found.grid.append((*_moved(element, "x1", "y1", right, down), *_moved(element, "x2", "y2", right, down)))
        elif element.tag == "text" and element.text and in_axis:
            x, y = _moved(element, "x", "y", right, down)
            is_left = element.get("text-anchor") == "end"
            found.labels.append((x, y + (3 if is_left else 8), "e" if is_left else "m", element.text))
        elif element.tag == "path":
            found.lines.append((element.get("stroke") or "", _moved_path(element.get("d") or "", right, down)))
        todo += [(child, right, down, in_axis) for child in element]
    return found


def _moved(element: ElementTree.Element, x: str, y: str, right: float, down: float) -> tuple[float, float]:
    return float(element.get(x) or 0) + right, float(element.get(y) or 0) + down


def _moved_path(path: str, right: float, down: float) -> str:
    """`M 0 1 L 2 3` moved, without blanks."""
    words = path.split()
    steps = zip(words[::3], words[1::3], words[2::3], strict=True)
    return "".join(f"{step}{_at(float(x) + right)} {_at(float(y) + down)}" for step, x, y in steps)


def _at(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
