"""Plots of a norm's stored numbers, as small SVG pictures that take their colours from the page around them.

Drawn by leather, which needs nothing else; its SVG is then cut down (a report of 300 norms holds a thousand plots) and
its colours and fonts are turned into classes, because a strict content security policy allows no style attributes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from normfix.errors import UsageError
from normfix.reports.svg import Frame, tidied

_POINTS = 33
"""Points of a line: what a picture of this size can show."""
_BINS = 32
_LARGEST = 1e300
"""Differences of larger numbers are infinite."""
_SMALLEST = 1e-290
"""Differences of smaller numbers are zero, or nearly."""
_DECADES = 2.0
"""Numbers that span more decades than this are drawn on a logarithmic axis."""
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Outputs:
    """A sample of what one layer of a model (or the whole of it, named "output") computes, before and after."""

    name: str
    before: Sequence[float]
    after: Sequence[float]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plot; `style` is the CSS class that gives its colour."""

    points: Points
    style: str


def channels(name: str, values: Sequence[float], style: str) -> str:
    """The values of a norm's channels, from the smallest to the largest; empty where there are none to show."""
    shown = sorted(value for value in values if _is_drawable(value))
    if not shown:
        return ""
    log = _spans_decades(shown)
    points = [(place, math.log10(value) if log else value) for place, value in _thinned(shown)]
    label = f"{name} of {len(shown)} channels, sorted: {_text(shown[0])} to {_text(shown[-1])}"
    return draw([Line(points, style)], Frame(label, log=log))


def profile(label: str, series: Mapping[str, Sequence[float | None]]) -> str:
    """One number of every norm in the order of execution, a line for each series (by its class); gaps where unknown."""
    finite = [value for values in series.values() for value in values if value is not None and _is_drawable(value)]
    if not finite:
        return ""
    log = _spans_decades(finite)
    last = max(len(values) for values in series.values()) - 1
    lines = []
    for style, values in series.items():
        points = [
            (float(place), math.log10(value) if log else value)
            for place, value in enumerate(values)
            if value is not None and _is_drawable(value) and (value > 0 or not log)
        ]
        lines.append(Line(points, style))
    ticks = {0.0: "first norm", float(max(last, 1)): "last"}
    return draw(lines, Frame(label, width=560, height=190, log=log, x_ticks=ticks))


def densities(outputs: Outputs) -> str:
    """How often each value comes, before and after; empty where either side has none to show."""
    sides = {name: [one for one in values if _is_drawable(one)] for name, values in _sides(outputs)}
    if not all(sides.values()):
        return ""
    low = min(min(values) for values in sides.values())
    high = max(max(values) for values in sides.values())
    lines = [Line(_histogram(values, low, high), name) for name, values in sides.items()]
    label = f"values of {outputs.name}, before and after: {_text(low)} to {_text(high)}"
    return draw(lines, Frame(label, x_ticks={low: _text(low), high: _text(high)} if high > low else None))


def draw(lines: Sequence[Line], frame: Frame) -> str:
    """The SVG of a plot. Raises UsageError where leather is not installed."""
    try:
        import leather
    except ImportError as error:
        raise UsageError('cannot draw plots: leather is missing; pip install "normfix[html]"') from error
    across = _Axis.over([*(frame.x_ticks or ()), *(x for line in lines for x, _ in line.points)])
    up = _Axis.over([y for line in lines for _, y in line.points], frame.log)
    chart = leather.Chart()
    for add_scale, add_axis, labels in (
        (chart.set_x_scale, chart.add_x_axis, {across.place(x): text for x, text in (frame.x_ticks or {}).items()}),
        (chart.set_y_scale, chart.add_y_axis, up.labels(frame.log)),
    ):
        add_scale(_unit_scale())
        add_axis(ticks=list(labels) or [0.0, 1.0], tick_formatter=_formatter(labels))
    for line in lines:
        points = [(across.place(x), up.place(y)) for x, y in line.points]
        chart.add_line(points, stroke_color=line.style)
    return tidied(chart.to_svg_group(width=frame.width, height=frame.height), frame)


@cache
def _unit_scale() -> Any:
    """From 0 to 1: leather's own scales spend milliseconds on each axis, and fail on numbers like 1e30."""
    import leather

    return leather.Linear(0, 1)


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float

    @staticmethod
    def over(values: Sequence[float], log: bool = False) -> _Axis:
        """An axis that holds these values, whole decades when `log`; its ends are never the same."""
        low, high = min(values), max(values)
        if log:
            return _Axis(math.floor(low), max(math.ceil(high), math.floor(low) + 1))
        margin = max(abs(low), abs(high), _SMALLEST)
        return _Axis(low, high) if high - low > margin * 1e-6 else _Axis(low - margin, high + margin)

    def place(self, value: float) -> float:
        """From 0 at the low end to 1 at the high end."""
        return (value - self.low) / (self.high - self.low)

    def labels(self, log: bool) -> dict[float, str]:
        """A few round numbers and where they stand."""
        size = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(size))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= size)
        step = max(round(step), 1) if log else step
        first = math.ceil(self.low / step - 1e-9)
        values = [count * step for count in range(first, math.floor(self.high / step + 1e-9) + 1)]
        return {self.place(value): _text(10.0**value if log else value) for value in values}


def _sides(outputs: Outputs) -> list[tuple[str, Sequence[float]]]:
    return [("before", outputs.before), ("after", outputs.after)]


def _is_drawable(value: float) -> bool:
    return abs(value) < _LARGEST


def _spans_decades(values: Sequence[float]) -> bool:
    return min(values) > 0 and math.log10(max(values)) - math.log10(min(values)) > _DECADES


def _thinned(values: Sequence[float]) -> list[tuple[float, float]]:
    """Evenly spaced ones, the first and the last among them; a single value becomes a level line."""
    if len(values) == 1:
        return [(0.0, values[0]), (1.0, values[0])]
    count = min(len(values), _POINTS)
    places = [round(step * (len(values) - 1) / (count - 1)) for step in range(count)]
    return [(place / (len(values) - 1), values[place]) for place in places]


def _histogram(values: Sequence[float], low: float, high: float) -> list[tuple[float, float]]:
    """The share of the values in each bin, at the middle of the bin."""
    width = (high - low) / _BINS or 1.0
    counts = [0] * _BINS
    for value in values:
        counts[min(int((value - low) / width), _BINS - 1)] += 1
    return [(low + (place + 0.5) * width, count / len(values)) for place, count in enumerate(counts)]


def _formatter(labels: Mapping[float, str]) -> Callable[[float, int, int], str]:
    return lambda value, index, count: labels.get(value, "")


def _text(value: float) -> str:
    return f"{value:.3g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
