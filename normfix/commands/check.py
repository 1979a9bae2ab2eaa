"""`normfix check`: find misused norms in a model."""

from __future__ import annotations

import argparse
import sys

from normfix.commands import options, targets
from normfix.reports import LINT_FORMATS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from normfix.checking.planned import Model, Selection


def add_parser(subparsers: options.Subparsers) -> None:
    parser = subparsers.add_parser(
        "check", description="Find misused norms in a model, an ONNX file, an exported program or a checkpoint."
    )
    targets.add_target(parser, required=False)
    plan = parser.add_argument_group("plan")
    plan.add_argument("--purpose", choices=("training", "inference"), help="what the model is about to be used for")
    plan.add_argument("--batch-size", type=int, metavar="N", help="samples per device of the training run")
    plan.add_argument("--world-size", type=int, metavar="N", help="number of devices of the training run")
    options.add_format(parser, LINT_FORMATS)
    options.add_selection(parser)
    options.add_verdict(parser)
    options.add_html(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from normfix.checking.planned import Model, Selection, look, model_of
    from normfix.linting.planning import settings_source

    settings = settings_source(arguments.config)("pyproject.toml")
    arguments.fail_on = arguments.fail_on or settings.fail_on
    selection = Selection(
        settings.select if arguments.select is None else arguments.select,
        (*settings.extend_select, *(arguments.extend_select or ())),
        (*settings.ignore, *(arguments.ignore or ())),
        settings.options,
    )
    if arguments.target is None:
        return _all([model_of(table) for table in settings.models], selection, arguments)
    model = Model(
        arguments.target,
        arguments.input,
        targets.parse_kwargs(arguments.kwargs),
        arguments.purpose,
        arguments.batch_size,
        arguments.world_size,
    )
    report, graphs = look(model, selection)
    return options.finish(report, arguments, next(iter(graphs), None))


def _all(models: Sequence[Model], selection: Selection, arguments: argparse.Namespace) -> int:
    """Every model of the configuration, with a line of progress where somebody watches."""
    from normfix.checking.planned import check_all
    from normfix.errors import UsageError

    if not models:
        raise UsageError("nothing to check: name a TARGET, or list models under `[[tool.normfix.models]]`")
    if arguments.input or arguments.kwargs or arguments.purpose or arguments.batch_size or arguments.world_size:
        raise UsageError("cannot check the models of the configuration with other inputs or plans: name a TARGET")
    watched = sys.stderr.isatty()
    told: list[str] = []

    def tell(target: str) -> None:
        told.append(target)
        if watched:
            sys.stderr.write(f"\r\x1b[Kchecking {len(told)} of {len(models)}: {target}")
            sys.stderr.flush()

    report = check_all(models, selection, tell)
    if watched:
        sys.stderr.write("\r\x1b[K")
    return options.finish(report, arguments)
