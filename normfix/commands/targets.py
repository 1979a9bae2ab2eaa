"""What a target is fed with, as every command for models takes it."""

from __future__ import annotations

import argparse
import sys
from contextlib import contextmanager, redirect_stdout

from normfix.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


@contextmanager
def printing_aside() -> Iterator[None]:
    """What the code of a model prints goes to stderr: standard output holds the result of the command alone."""
    with redirect_stdout(sys.stderr):
        yield


def add_target(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """TARGET, a live model or a file, with `--input` and `--kwargs`."""
    parser.add_argument(
        "target",
        metavar="TARGET",
        nargs=None if required else "?",
        help="package.module:name, path/to/file.py:name, or a file"
        + ("" if required else "; without one, the models of `[[tool.normfix.models]]` in pyproject.toml"),
    )
    add_inputs(parser)


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """`--input`, once for each input, and `--kwargs` for a class or factory."""
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="SHAPE[:DTYPE]",
        help="an example input such as 8x3x224x224 or 2x16:int64; once for each input",
    )
    parser.add_argument("--kwargs", metavar="JSON", help="arguments for the class or factory, as a JSON object")


def require_input(arguments: argparse.Namespace, doing: str) -> None:
    """Raises `UsageError` without an `--input`."""
    if not arguments.input:
        raise UsageError(
            f"{doing} `{arguments.target}`: an example input is needed to see what feeds what, as `--input 8x3x224x224`"
        )


def parse_kwargs(text: str | None) -> dict[str, Any]:
    """The object that `--kwargs` gives. Raises `UsageError` for anything else."""
    import json

    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise UsageError(f"cannot read `--kwargs`: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"cannot read `--kwargs`: expected a JSON object, got `{text}`")
    return value
