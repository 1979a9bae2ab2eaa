"""`normfix fold`: take the batch norms out of a model that is deployed."""

from __future__ import annotations

import argparse

from normfix.commands import options, rewriting, targets


def add_parser(subparsers: options.Subparsers) -> None:
    parser = subparsers.add_parser(
        "fold",
        description="Fold the batch norms of a model, in eval mode, into the layers around them, and prove it.",
    )
    rewriting.add_target(parser)
    parser.add_argument(
        "--merge-branches", action="store_true", help="merge norms and convolutions beside a convolution into it"
    )
    parser.add_argument(
        "--pad-constants",
        action="store_true",
        help="fold norms before zero-padded convolutions, padding with constants",
    )
    parser.add_argument(
        "--affine", action="store_true", help="fold weight and bias of layer norms into the linear layers behind, too"
    )
    parser.add_argument("--program", action="store_true", help="fold in the exported program, functional calls too")
    rewriting.add_result(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    targets.require_input(arguments, "folding")
    from normfix.transforms.fold import fold

    return rewriting.carry_out(
        arguments,
        lambda model, inputs: fold(
            model,
            inputs,
            merge_branches=arguments.merge_branches,
            pad_constants=arguments.pad_constants,
            affine=arguments.affine,
            output="program" if arguments.program else "module",
            prove=arguments.prove,
        ),
    )
