"""What `fold`, `swap`, `drop-bias` and `verify` have in common: a target, its inputs, and the account at the end."""

from __future__ import annotations

import argparse
import sys

from normfix.commands import options, pages, targets
from normfix.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from torch import nn

    from normfix.rewrites import Rewrite

LEVELS = ("full", "formula", "none")


def add_target(parser: argparse.ArgumentParser) -> None:
    """TARGET, `--input`, `--kwargs`, `--weights`."""
    parser.add_argument("target", metavar="TARGET", help="package.module:name or path/to/file.py:name")
    targets.add_inputs(parser)
    parser.add_argument("--weights", metavar="FILE", help="a state dict (.pt, .pth, .safetensors) to load first")


def add_result(parser: argparse.ArgumentParser) -> None:
    """`-o`, `--prove`, `--dry-run`, `--certificate`, `--output-format`."""
    parser.add_argument("-o", "--output", metavar="FILE", help="write the new model: .pt2, .onnx, .safetensors or .pt")
    parser.add_argument("--prove", choices=LEVELS, default="full", help="how much to prove (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and write nothing")
    parser.add_argument("--certificate", metavar="FILE", help="write the proof, with hashes and versions, as JSON")
    options.add_html(parser)
    options.add_format(parser)


def load(arguments: argparse.Namespace) -> nn.Module:
    """The target in eval mode, with its weights."""
    from normfix.readers.target import load

    model = load(arguments.target, targets.parse_kwargs(arguments.kwargs))
    if arguments.weights:
        _load_weights(model, arguments.weights)
    return model.eval()


def carry_out(arguments: argparse.Namespace, rewrite: Callable[[nn.Module, tuple[Any, ...]], Rewrite]) -> int:
    """Load, rewrite, write what was asked for, and print the account. 0, or 1 where the proof failed."""
    from normfix.files import require_room
    from normfix.readers.target import parse_inputs
    from normfix.rewrites import ProofFailed
    from normfix.transforms import saving

    if arguments.output:
        saving.require_suffix(arguments.output)
    for path in filter(None, (arguments.certificate, arguments.html)):
        require_room(path)
    inputs = parse_inputs(arguments.input)
    try:
        with targets.printing_aside():
            model = load(arguments)
            done = rewrite(model, inputs)
            _write(arguments, model, inputs, done)
    except ProofFailed as failed:
        _print(arguments, {"applied": [], "refused": [], "proof": failed.proof.as_dict()}, str(failed.proof))
        pages.proven(arguments, failed.proof)
        return 1
    _print(arguments, done.as_dict(), str(done) + _took(done) + _wrote(arguments))
    return 0


def _write(arguments: argparse.Namespace, model: nn.Module, inputs: tuple[Any, ...], done: Rewrite) -> None:
    from normfix.transforms import certificate, saving

    if arguments.output and not arguments.dry_run:
        saving.save(done.model, arguments.output, inputs, {})
    if arguments.certificate and not arguments.dry_run:
        certificate.write(arguments.certificate, done, model, inputs)
    pages.rewritten(arguments, model, inputs, done)


def _took(done: Rewrite) -> str:
    """The seconds of each step, of the proof only what was asked for."""
    left_out = {"none": ("formula", "deployed"), "formula": ("deployed",)}.get(done.proof.level, ())
    steps = [f"{step} {value:.2f} s" for step, value in done.seconds.items() if step not in left_out]
    return f"\ntook {', '.join(steps)}"


def _wrote(arguments: argparse.Namespace) -> str:
    """What was written; a page shows what would be, so that a dry run writes it too."""
    names = [name for name in (arguments.output, arguments.certificate) if name]
    page = [arguments.html] if pages.wanted(arguments) else []
    if names and arguments.dry_run:
        return f"\nwrote {page[0]}, and nothing else (--dry-run)" if page else "\nnothing was written (--dry-run)"
    return f"\nwrote {', '.join(names + page)}" if names or page else ""


def _print(arguments: argparse.Namespace, plain: Mapping[str, Any], text: str) -> None:
    import json

    shown = json.dumps(finite(plain), indent=2) if arguments.output_format == "json" else text
    sys.stdout.write(shown + "\n")


def finite(value: Any) -> Any:
    """JSON has no infinity: it is written as the text "inf"."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return str(value) if isinstance(value, float) and value - value != 0 else value


def _load_weights(model: nn.Module, path: str) -> None:
    from normfix.transforms.checkpoints import read

    try:
        model.load_state_dict(read(path, model.state_dict()))
    except RuntimeError as error:
        raise UsageError(f"cannot load `{path}` into the model: {error}") from error
