"""`normfix drop-bias`: remove the biases that a norm subtracts again."""

from __future__ import annotations

import argparse

from normfix.commands import options, rewriting, targets


def add_parser(subparsers: options.Subparsers) -> None:
    parser = subparsers.add_parser(
        "drop-bias",
        description="Remove the biases that a norm subtracts again, shift its running mean, and prove both modes.",
    )
    rewriting.add_target(parser)
    rewriting.add_result(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    targets.require_input(arguments, "dropping biases of")
    from normfix.transforms.drop_bias import drop_bias

    return rewriting.carry_out(arguments, lambda model, inputs: drop_bias(model, inputs, prove=arguments.prove))
