"""`normfix verify`: prove that two models compute the same."""

from __future__ import annotations

import argparse
import json
import sys

from normfix.commands import options, pages, rewriting, targets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from torch import nn


def add_parser(subparsers: options.Subparsers) -> None:
    parser = subparsers.add_parser(
        "verify",
        description="Prove that two models compute the same, in float64 and in ONNX Runtime. "
        "Exit code 0 where the proof holds, 1 where it does not.",
    )
    parser.add_argument("before", metavar="BEFORE", help="package.module:name, file.py:name, or a .pt2 or .onnx file")
    parser.add_argument("after", metavar="AFTER", help="the same, of the model that is to be proven")
    targets.add_inputs(parser)
    parser.add_argument(
        "--prove", choices=("full", "formula"), default="full", help="how much to prove (default: %(default)s)"
    )
    options.add_format(parser)
    options.add_html(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from normfix.files import require_room
    from normfix.proof import verify
    from normfix.readers.target import parse_inputs

    if arguments.html:
        require_room(arguments.html)
    inputs = parse_inputs(arguments.input)
    kwargs = targets.parse_kwargs(arguments.kwargs)
    with targets.printing_aside():
        before, after = (_model(target, kwargs) for target in (arguments.before, arguments.after))
        proof = verify(before, after, inputs, level=arguments.prove)
    if arguments.output_format == "json":
        text = json.dumps({"proof": rewriting.finite(proof.as_dict())}, indent=2)
    else:
        text = str(proof)
    sys.stdout.write(text + "\n")
    pages.proven(arguments, proof)
    return 0 if proof.holds else 1


def _model(target: str, kwargs: dict[str, Any]) -> nn.Module:
    from normfix.proof.artefacts import is_artefact, load_artefact

    if is_artefact(target):
        return load_artefact(target)
    from normfix.readers.target import load

    return load(target, kwargs).eval()
