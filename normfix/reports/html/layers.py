"""What the page shows of each norm: its row in the table, its findings, its plots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normfix import vocabulary
from normfix.checking.inspection import rows
from normfix.findings import Finding, Severity
from normfix.graph import Layer, LayerGraph, Undecided
from normfix.reports import plots
from normfix.reports.html.environment import trusted
from normfix.reports.html.picture import severities

_STYLES = ("mean", "variance", "scale")


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a norm holds, a number for each channel; empty where it has none, or they are not known."""

    mean: Sequence[float] = ()
    variance: Sequence[float] = ()
    scale: Sequence[float] = ()
    """gamma / sqrt(variance + eps): what the norm multiplies each channel by in eval mode; gamma alone without one."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of norms."""

    path: str
    cells: Sequence[str]
    severity: str
    plots: Sequence[tuple[str, Any]]
    """Captions and pictures."""


@dataclass(frozen=True, slots=True)
class Table:
    """The table of norms."""

    titles: Sequence[str]
    rows: Sequence[Row]

    @property
    def numeric(self) -> frozenset[int]:
        """The columns that hold numbers and nothing else."""
        columns = enumerate(zip(*(row.cells for row in self.rows), strict=True))
        return frozenset(place for place, cells in columns if any(cells) and all(map(_is_number, filter(None, cells))))


def table(graph: LayerGraph | None, given: Sequence[Mapping[str, object]], findings: Sequence[Finding]) -> Table:
    """The rows that `inspect` gave, or those of the graph; with plots where the graph holds numbers."""
    plain = given or (rows(graph) if graph is not None else [])
    titles = list(dict.fromkeys(title for row in plain for title in row))
    layers = {path: layer for layer in (graph.layers if graph else ()) for path in (layer.name, *layer.aliases)}
    worst = severities(findings)
    drawn: set[str] = set()
    made = []
    for row in plain:
        path = str(row.get("path", ""))
        # A norm that is called twice has two rows and one set of numbers.
        layer = layers.get(path) if path not in drawn else None
        drawn.add(path)
        severity = str(Severity(worst[path])) if path in worst else "none"
        made.append(Row(path, [_text(row.get(title)) for title in titles], severity, pictures(layer)))
    return Table(titles, made)


def pictures(layer: Layer | None) -> list[tuple[str, Any]]:
    """The plots of one norm, with their captions."""
    if layer is None:
        return []
    held = numbers(layer)
    captions = {"mean": "running mean", "variance": "running variance", "scale": "scale gamma / sqrt(var + eps)"}
    if not held.variance:
        captions["scale"] = "weight gamma"
    made = []
    for style in _STYLES:
        values = getattr(held, style)
        picture = plots.channels(captions[style], values, style)
        if picture:
            bad = sum(not math.isfinite(value) for value in values)
            note = f", {bad} not finite" if bad else ""
            made.append((f"{captions[style]}: {len(values)} channels{note}", trusted(picture)))
    return made


def profiles(graph: LayerGraph, table: Table) -> list[tuple[str, Any]]:
    """The numbers of all norms in the order of the table: the middle and the extremes of each."""
    layers = {path: layer for layer in graph.layers for path in (layer.name, *layer.aliases)}
    held = [numbers(layers[row.path]) if row.path in layers else Numbers() for row in table.rows]
    made = []
    for title, name in (("Running variance", "variance"), ("Scale |gamma| / sqrt(var + eps)", "scale")):
        values = [[abs(value) for value in getattr(one, name) if math.isfinite(value)] for one in held]
        if sum(map(bool, values)) < 2:
            continue
        series = {
            "largest": [max(one, default=None) for one in values],
            "median": [sorted(one)[len(one) // 2] if one else None for one in values],
            "smallest": [min(one, default=None) for one in values],
        }
        made.append((title, trusted(plots.profile(title, series))))
    return made


def numbers(layer: Layer) -> Numbers:
    """What the layer's state holds."""
    mean, variance, weight = (_values(layer, name) for name in ("running_mean", "running_var", "weight"))
    if not variance:
        return Numbers(mean, (), weight)
    try:
        eps = layer.number("eps") if "eps" in vocabulary.signature(layer.kind) else 0.0
    except Undecided:
        return Numbers(mean, variance)
    gammas = weight if len(weight) == len(variance) else [1.0] * len(variance)
    return Numbers(mean, variance, [_scale(gamma, one + eps) for gamma, one in zip(gammas, variance, strict=True)])


def _scale(gamma: float, variance: float) -> float:
    return gamma / math.sqrt(variance) if variance > 0 else math.nan


def _values(layer: Layer, name: str) -> Sequence[float]:
    try:
        return layer.state[name].values() if name in layer.state else ()
    except Undecided:
        return ()


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", ""))
    except ValueError:
        return cell == "unknown"
    return True


def _text(value: object) -> str:
    """A cell; numbers that are whole stand with thin groups, what is missing stays empty."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
