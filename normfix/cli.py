"""The command line: finds the command that is asked for, runs it, and turns what goes wrong into an exit code.

Exit codes: 0 nothing to report, 1 findings, 2 could not run; 130 interrupted, 141 when the reader of a pipe left.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Collection, Sequence
from importlib import import_module

from normfix.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

COMMANDS = {
    "lint": "find misused norms in source files and notebooks, without importing them",
    "check": "find misused norms in a model, an ONNX file, an exported program or a checkpoint",
    "fold": "fold batch norms into their neighbours, and prove it",
    "swap": "replace the norms of a model, or of a source file, by another kind",
    "drop-bias": "remove biases that a norm subtracts again, and prove it",
    "verify": "prove that two models compute the same",
    "inspect": "show every norm of a model: axes, elements per statistic, mode, neighbours",
    "migrate": "rewrite a checkpoint for a model whose norms have changed",
    "baseline": "record today's findings, to adopt the linter in an old repository",
    "rule": "explain a rule",
    "completion": "print the completion script of a shell",
}
"""Each command and what it does. `drop-bias` lives in `normfix/commands/drop_bias.py`, and so on."""


class Formatter(argparse.HelpFormatter):
    """As wide as the terminal. argparse would import shutil, with it bz2 and lzma, to find out for each option."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


class Parser(argparse.ArgumentParser):
    """Raises UsageError where argparse would print its usage and leave; its sub-commands do so too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": Formatter, **options})

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see `{self.prog} --help`)")


class Commands(argparse._SubParsersAction):  # type: ignore[type-arg]  # it is generic to type checkers only
    """Gives every command its line in the help, where shtab looks for what it completes."""

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().add_parser(name, **{"help": COMMANDS[name], **options})
        return parser


TORCH_EXTRA = frozenset({"torch", "numpy", "onnx", "onnxruntime", "onnxscript", "safetensors"})
"""What the base install leaves out."""


OUTPUT_REFUSED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What a file system answers that takes no more."""


def _columns() -> int:
    try:
        return int(os.environ.get("COLUMNS") or os.get_terminal_size().columns) or 80
    except (OSError, ValueError):
        return 80


def build_parser(complete: Collection[str]) -> argparse.ArgumentParser:
    """The parser with these commands in full; of the others it knows the name and the purpose."""
    parser = Parser(prog="normfix", description="Find misused normalization layers in PyTorch, and mend them.")
    parser.add_argument("--version", action="store_true", help="print the version")
    subparsers = parser.add_subparsers(action=Commands, dest="command", metavar="COMMAND", title="commands")
    for name in COMMANDS:
        if name in complete:
            import_module(f"normfix.commands.{name.replace('-', '_')}").add_parser(subparsers)
        elif not complete:
            subparsers.add_parser(name)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code. Raises UsageError."""
    asked = [argument for argument in argv if not argument.startswith("-")][:1]
    parser = build_parser([name for name in asked if name in COMMANDS])
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        asked_of = f"normfix {arguments.command or ''}".strip()
        raise UsageError(f"unrecognized arguments: {' '.join(unknown)} (see `{asked_of} --help`)")
    if arguments.version:
        from normfix import __version__

        print(f"normfix {__version__}")
        return 0
    if arguments.command is None:
        parser.print_help()
        return 2
    try:
        return int(arguments.run(arguments))
    except ModuleNotFoundError as error:
        if error.name in TORCH_EXTRA:
            raise UsageError(
                f'cannot run `normfix {arguments.command}`: it needs {error.name}; pip install "normfix[torch]"'
            ) from error
        raise


def main(argv: Sequence[str] | None = None) -> int:
    """The console script."""
    try:
        _prepare_streams()
        code = run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return code
    except UsageError as error:
        from normfix.reports.concise import printable

        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _give_up_stdout()
        return 141
    except OSError as error:
        if error.errno not in OUTPUT_REFUSED or error.filename is not None:
            raise
        _give_up_stdout()
        print(f"error: cannot write to standard output: {error.strerror}", file=sys.stderr)
        return 2


def _prepare_streams() -> None:
    """What cannot be encoded is escaped; a stream that the caller has closed takes everything and keeps nothing."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure"):  # not so where a test or a notebook stands in for it
            stream.reconfigure(errors="backslashreplace")


def _give_up_stdout() -> None:
    """Python flushes stdout once more on its way out; there is nothing left to take it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
