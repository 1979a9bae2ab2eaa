"""`normfix completion`: the completion script of a shell, to be saved where the shell looks for it."""

from __future__ import annotations

import argparse
import sys

from normfix.commands import options


def add_parser(subparsers: options.Subparsers) -> None:
    parser = subparsers.add_parser("completion", description="Print the completion script of a shell.")
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "tcsh"), help="bash, zsh or tcsh")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    import shtab

    from normfix.cli import COMMANDS, build_parser

    parser = build_parser(tuple(COMMANDS))
    sys.stdout.write(shtab.complete(parser, shell=arguments.shell) + "\n")
    return 0
