"""`normfix inspect`: a table of every norm of a model, an ONNX file, an exported program or a checkpoint."""

from __future__ import annotations

import argparse
import sys

from normfix.commands import options, pages, targets
from normfix.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from normfix.graph import LayerGraph

_WIDE = 400
"""Columns of an output that is no terminal: a table can be cut and sorted there."""


def add_parser(subparsers: options.Subparsers) -> None:
    parser = subparsers.add_parser(
        "inspect",
        description="Show every norm call: input, axes and elements of its statistics, settings, neighbours, folding.",
    )
    targets.add_target(parser)
    options.add_format(parser)
    options.add_html(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from normfix.checking.inspection import rows

    with targets.printing_aside():
        graphs, folding, why = _read(arguments)
    found = [row for graph in graphs for row in rows(graph, folding)]
    notes = [f"{graph.name}: {graph.open.reason}" for graph in graphs if graph.open is not None]
    notes += [f"what can be folded is not known: {why}"] if why and found and not notes else []
    if arguments.output_format == "json":
        _write_json(found, notes)
    else:
        _write_text(arguments.target, found, notes)
    pages.inspected(arguments, graphs[0], found)
    return 0


def _read(arguments: argparse.Namespace) -> tuple[list[LayerGraph], dict[str, str] | None, str]:
    """The networks, what would become of their norms, and why that is not known, or "". Raises `UsageError`."""
    from normfix.readers.target import load, parse_inputs, reader_of

    inputs = parse_inputs(arguments.input)
    if reader_of(arguments.target) != "model":
        from normfix.checking.run import file_graphs

        return file_graphs(arguments.target, [one.shape for one in inputs]), None, ""
    from normfix.checking.run import require_python
    from normfix.readers.model import capture
    from normfix.transforms.foldable import foldable

    model = load(arguments.target, targets.parse_kwargs(arguments.kwargs))
    captured = capture(model, inputs or None)
    require_python(captured)
    if captured.broken:
        raise UsageError(
            f"cannot inspect `{arguments.target}`: the forward pass raises with these inputs: {captured.broken}"
        )
    folding, why = foldable(model, inputs) if inputs else ({}, "")
    return [captured.graph], folding or None, why


def _write_json(rows: list[dict[str, object]], notes: list[str]) -> None:
    import json

    plain = [{title: _number(value) for title, value in row.items()} for row in rows]
    sys.stdout.write(json.dumps({"norms": plain, "notes": notes}, indent=2) + "\n")


def _number(value: object) -> object:
    """What reads as a number is one: "25,088" is 25088."""
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        try:
            return kind(value.replace(",", ""))
        except ValueError:
            continue
    return value


def _write_text(target: str, rows: list[dict[str, object]], notes: list[str]) -> None:
    import shutil

    from normfix.reports.table import table

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE
    sys.stdout.write(table(rows, width))
    for note in notes:
        sys.stdout.write(f"note: {note}\n")
    count = len(rows)
    sys.stdout.write(f"{'No norms' if not count else '1 norm' if count == 1 else f'{count} norms'} in {target}\n")
