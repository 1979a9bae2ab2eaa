"""`normfix check`: find misused norms in a model."""

from __future__ import annotations

import argparse

from normfix.commands import options
from normfix.reports import LINT_FORMATS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def add_parser(subparsers: options.Subparsers) -> None:
    parser = subparsers.add_parser(
        "check", description="Find misused norms in a model, an ONNX file, an exported program or a checkpoint."
    )
    add_target(parser)
    plan = parser.add_argument_group("plan")
    plan.add_argument("--purpose", choices=("training", "inference"), help="what the model is about to be used for")
    plan.add_argument("--batch-size", type=int, metavar="N", help="samples per device of the training run")
    plan.add_argument("--world-size", type=int, metavar="N", help="number of devices of the training run")
    options.add_format(parser, LINT_FORMATS)
    options.add_selection(parser)
    options.add_verdict(parser)
    options.add_html(parser)
    parser.set_defaults(run=run)


def add_target(parser: argparse.ArgumentParser) -> None:
    """TARGET, `--input` and `--kwargs`: which model, and what it is fed with."""
    parser.add_argument("target", metavar="TARGET", help="package.module:name, path/to/file.py:name, or a file")
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="SIZES[:DTYPE]",
        help="an example input such as 8x3x224x224 or 2x16:int64; once for each input",
    )
    parser.add_argument("--kwargs", metavar="JSON", help="arguments for the class or factory, as a JSON object")


def run(arguments: argparse.Namespace) -> int:
    from normfix.readers.target import load, parse_inputs, reader_of

    inputs = parse_inputs(arguments.input)
    selection = {
        "purpose": arguments.purpose,
        "select": arguments.select,
        "extend_select": arguments.extend_select or (),
        "ignore": arguments.ignore or (),
    }
    if reader_of(arguments.target) == "model":
        from normfix.checking import check
        from normfix.readers.model import capture

        plan = {"batch_size": arguments.batch_size, "world_size": arguments.world_size, "name": arguments.target}
        model = load(arguments.target, keywords(arguments.kwargs))
        report = check(model, inputs or None, **selection, **plan)
        return options.finish(report, arguments, lambda: capture(model, inputs or None).graph)
    from normfix.checking import check_file, file_graphs

    shapes = [one.shape for one in inputs]
    report = check_file(arguments.target, shapes, **selection)
    return options.finish(report, arguments, lambda: next(iter(file_graphs(arguments.target, shapes)), None))


def keywords(text: str | None) -> Mapping[str, Any]:
    """The JSON object of `--kwargs`. Raises UsageError for what is none."""
    import json

    from normfix.errors import UsageError

    if text is None:
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"cannot read `--kwargs`: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"cannot read `--kwargs`: expected a JSON object, got `{text}`")
    return value
