"""`normfix swap`: replace the norms of a model by another kind; a source file is handed to the fixes."""

from __future__ import annotations

import argparse
import sys

from normfix.commands import options, rewriting, targets
from normfix.errors import UsageError

KINDS = ("group", "batch", "sync_batch", "instance", "layer", "frozen_batch")


def add_parser(subparsers: options.Subparsers) -> None:
    parser = subparsers.add_parser(
        "swap",
        description="Replace the norms of a model by another kind, losing nothing on the way. "
        "A TARGET that is a source file (path.py) is rewritten in place.",
    )
    rewriting.add_target(parser)
    parser.add_argument("--to", required=True, choices=KINDS, help="the kind of norm to put in place")
    parser.add_argument("--groups", type=int, default=32, help="most groups of a group norm (default: %(default)s)")
    parser.add_argument("--where", metavar="PATTERN", help="only norms whose module path matches, as in `encoder.*`")
    parser.add_argument(
        "--calibrate",
        metavar="BATCHES",
        help="batches to estimate statistics from: package.module:name or file.py:name",
    )
    parser.add_argument(
        "--uncalibrated", action="store_true", help="allow batch norms with the statistics of a new layer"
    )
    rewriting.add_result(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if arguments.target.endswith(".py"):
        return _source(arguments)
    from normfix.readers.target import load_batches
    from normfix.transforms.swap import swap

    with targets.printing_aside():
        batches = load_batches(arguments.calibrate) if arguments.calibrate else None
    return rewriting.carry_out(
        arguments,
        lambda model, inputs: swap(
            model,
            arguments.to,
            inputs or None,
            where="*" if arguments.where is None else arguments.where,
            groups=arguments.groups,
            calibrate=batches,
            uncalibrated=arguments.uncalibrated,
            prove=arguments.prove,
        ),
    )


def _source(arguments: argparse.Namespace) -> int:
    """Rewrite a source file; with `--dry-run` print the difference and write nothing."""
    import json
    from dataclasses import asdict

    from normfix.fixes.swap_source import swap_source
    from normfix.rewrites import account

    for name in ("output", "input", "kwargs", "weights", "calibrate", "uncalibrated", "certificate", "html"):
        if getattr(arguments, name):
            raise UsageError(f"swapping in `{arguments.target}`: a source file takes no --{name}")
    done = swap_source(
        arguments.target, arguments.to, groups=arguments.groups, where=arguments.where, write=not arguments.dry_run
    )
    if arguments.output_format == "json":
        plain = {"applied": [asdict(one) for one in done.applied], "refused": [asdict(one) for one in done.refused]}
        sys.stdout.write(json.dumps({**plain, "proof": None}, indent=2) + "\n")
        return 0
    lines = [f"{len(done.applied)} applied, {len(done.refused)} refused", *account(done.applied, done.refused)]
    if len(lines) == 1:
        what = "wraps a model in DistributedDataParallel" if arguments.to == "sync_batch" else "makes a batch norm"
        lines.append(
            f"nothing in the file {what}" + ("" if arguments.where is None else f" that `{arguments.where}` names")
        )
    sys.stdout.write("\n".join(lines) + "\n")
    if arguments.dry_run:
        sys.stdout.write(done.diff())
    return 0
