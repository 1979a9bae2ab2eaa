"""`normfix migrate`: rewrite a checkpoint for a model whose norms or biases have changed."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from normfix.commands import options, targets


def add_parser(subparsers: options.Subparsers) -> None:
    parser = subparsers.add_parser(
        "migrate",
        description="Rewrite a checkpoint so that it loads into a model whose biases or norms have changed since: "
        "a bias that is gone moves into the running mean of the norm behind it.",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a state dict: .pt, .pth, .ckpt, .bin or .safetensors")
    parser.add_argument(
        "--like", required=True, metavar="TARGET", help="the new model: package.module:name or file.py:name"
    )
    targets.add_inputs(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="the file to write: .pt or .safetensors")
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and write nothing")
    options.add_format(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from normfix.errors import UsageError
    from normfix.readers.target import load, parse_inputs
    from normfix.rewrites import account
    from normfix.transforms import checkpoints, saving
    from normfix.transforms.migrate import migrate

    if not arguments.output and not arguments.dry_run:
        raise UsageError(f"migrating `{arguments.checkpoint}`: say where to write with -o, or ask for a --dry-run")
    if arguments.output:
        if Path(arguments.output).suffix not in (".pt", ".safetensors"):
            raise UsageError(f"cannot write `{arguments.output}`: a checkpoint is .pt or .safetensors")
        saving.require_suffix(arguments.output)
    with targets.printing_aside():
        like = load(arguments.like, targets.parse_kwargs(arguments.kwargs))
        state, rest = checkpoints.read_with_rest(arguments.checkpoint, like.state_dict())
        done = migrate(state, like, parse_inputs(arguments.input))
    metadata = checkpoints.metadata(arguments.checkpoint)
    if arguments.output and Path(arguments.output).suffix != ".safetensors":
        rest += [f"__metadata__.{name}" for name in metadata]
    if arguments.output and not arguments.dry_run:
        saving.save_state(done.state, arguments.output, metadata)
    if arguments.output_format == "json":
        text = json.dumps(
            {"applied": [asdict(change) for change in done.applied], "refused": [], "left_out": rest}, indent=2
        )
    else:
        lines = [f"{len(done.applied)} changed, {len(done.state)} tensors", *account(done.applied)]
        if rest:
            lines.append(f"not carried over: {', '.join(f'`{name}`' for name in rest)}")
        if arguments.output:
            lines.append("nothing was written (--dry-run)" if arguments.dry_run else f"wrote {arguments.output}")
        text = "\n".join(lines)
    sys.stdout.write(text + "\n")
    return 0
