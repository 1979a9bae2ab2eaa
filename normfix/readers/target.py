"""Resolves what a command line names as TARGET: a model in a module or a file, or an artefact."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from sysconfig import get_paths
from types import ModuleType
from typing import Any

import torch
from torch import nn

from normfix.errors import UsageError
from normfix.readers.live.kinds import qualified

ARTEFACTS = {
    ".onnx": "onnx",
    ".pt2": "pt2",
    ".safetensors": "state",
    ".pt": "state",
    ".pth": "state",
    ".bin": "state",
    ".ckpt": "state",
    ".index.json": "state",
}
"""The reader of each kind of file, by its suffix."""


def reader_of(target: str) -> str:
    """ "model" for `package.module:name` and `file.py:name`; for a file the reader that its suffix asks for."""
    if ":" in os.path.splitdrive(target)[1]:
        return "model"
    for suffix, reader in ARTEFACTS.items():
        if target.endswith(suffix):
            return reader
    known = ", ".join(ARTEFACTS)
    raise UsageError(
        f"cannot tell what `{target}` is: expected `package.module:name`, `file.py:name`, or one of {known}"
    )


def load(target: str, kwargs: Mapping[str, Any] | None = None) -> nn.Module:
    """The model that `package.module:name` or `path/to/file.py:name` names: a module, or what a class or a factory
    makes of `kwargs`. The current folder can be imported from, as with `python -m`.

    Raises UsageError, with the exception's own words, where it does not import, is not there, or makes no module.
    """
    found = _named(target)
    if isinstance(found, nn.Module):
        if kwargs:
            raise UsageError(f"cannot load `{target}`: it is a module already, so that `--kwargs` go nowhere")
        return found
    if not callable(found):
        raise UsageError(
            f"cannot load `{target}`: it is a `{type(found).__name__}`, not a module, a class or a factory"
        )
    made = _guarded(lambda: found(**(kwargs or {})), f"cannot build `{target}`")
    if not isinstance(made, nn.Module):
        raise UsageError(f"cannot load `{target}`: it made a `{qualified(type(made))}`, not a torch.nn.Module")
    return made


def load_batches(target: str) -> Iterable[Any]:
    """The batches that `package.module:name` or `path/to/file.py:name` names: anything that can be looped over, such as
    a data loader, or what a function gives. Raises UsageError, as `load` does."""
    found = _named(target)
    made = _guarded(found, f"cannot call `{target}`") if callable(found) else found
    if isinstance(made, (str, Mapping, torch.Tensor)) or not isinstance(made, Iterable):
        raise UsageError(f"cannot load `{target}`: a `{qualified(type(made))}` gives no batches")
    return made


def _named(target: str) -> Any:
    home, _, name = target.rpartition(":")
    if not home or not name:
        raise UsageError(f"cannot load `{target}`: expected `package.module:name` or `path/to/file.py:name`")
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))
    return _attribute(_import(home, target), name, target)


def _import(home: str, target: str) -> ModuleType:
    if not home.endswith(".py"):
        return _guarded(lambda: importlib.import_module(home), f"cannot import `{home}`")  # type: ignore[no-any-return]
    path = Path(home).resolve()
    if not path.is_file():
        raise UsageError(f"cannot load `{target}`: there is no file `{home}`")
    name, root = _dotted(path)
    _make_room(root)
    taken = sys.modules.get(name)
    if taken is not None and Path(taken.__file__ or "").resolve() != path:
        name = f"{name}_"
    return _guarded(lambda: _import_file(path, name, root), f"cannot import `{home}`")  # type: ignore[no-any-return]


def _import_file(path: Path, name: str, root: Path) -> ModuleType:
    if root != path.parent or name in sys.modules:
        return importlib.import_module(name)
    specification = spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise ImportError("it is no Python source file")
    module = module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _make_room(root: Path) -> None:
    """Let files of this folder be imported, also where another target's folder had a file of the same name."""
    sys.path[:] = [str(root), *(path for path in sys.path if path != str(root))]
    interpreter = tuple(get_paths().values())
    own = {path.stem for path in root.glob("*.py")} | {path.parent.name for path in root.glob("*/__init__.py")}
    for name in [name for name in sys.modules if name.partition(".")[0] in own]:
        file = getattr(sys.modules[name], "__file__", None) or interpreter[0]
        if not file.startswith((str(root), *interpreter)):
            del sys.modules[name]


def _dotted(path: Path) -> tuple[str, Path]:
    """The dotted name of a file inside its packages, and the folder that they are imported from."""
    parts = [path.stem]
    root = path.parent
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    return ".".join(parts), root


def _attribute(module: ModuleType, name: str, target: str) -> Any:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            close = get_close_matches(part, _public(found), n=3)
            hint = f"; did you mean {' or '.join(f'`{one}`' for one in close)}?" if close else ""
            raise UsageError(f"cannot load `{target}`: there is no `{part}` in it{hint}")
        found = getattr(found, part)
    return found


def _public(holder: object) -> list[str]:
    return [name for name in dir(holder) if not name.startswith("_")]


def _guarded(work: Callable[[], Any], doing: str) -> Any:
    """Run the user's code. Whatever it raises, an attempt to leave included, becomes one sentence."""
    try:
        return work()
    except (Exception, SystemExit) as error:
        text = str(error).strip()
        raise UsageError(f"{doing}: {type(error).__name__}{': ' + text if text else ''}{_line(error)}") from error


def _line(error: BaseException) -> str:
    import traceback

    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in (__file__, importlib.__file__) and not frame.filename.startswith("<")
    ]
    return f" ({own[-1].filename}:{own[-1].lineno})" if own else ""


def parse_inputs(specifications: Iterable[str]) -> tuple[torch.Tensor, ...]:
    """Example inputs from words such as "8x3x224x224" or "2x16:int64": normal numbers, or ones and zeros for integer
    types, the same on every run. Raises UsageError for a word that is none."""
    generator = torch.Generator().manual_seed(0)
    return tuple(_input(specification, generator) for specification in specifications)


def _input(specification: str, generator: torch.Generator) -> torch.Tensor:
    sizes, _, name = specification.partition(":")
    dtype = getattr(torch, name or "float32", None)
    if not isinstance(dtype, torch.dtype):
        raise UsageError(f"cannot read the input `{specification}`: torch has no dtype `{name}`")
    try:
        shape = [int(size) for size in sizes.split("x")]
    except ValueError:
        raise UsageError(
            f"cannot read the input `{specification}`: expected sizes joined by x, as in `8x3x224x224` or `2x16:int64`"
        ) from None
    if min(shape) < 1:
        raise UsageError(f"cannot read the input `{specification}`: every size must be at least 1")
    try:
        if dtype.is_floating_point or dtype.is_complex:
            return torch.randn(shape, generator=generator).to(dtype)
        return torch.randint(0, 2, shape, generator=generator).to(dtype)
    except (RuntimeError, MemoryError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"cannot make the input `{specification}`: {reason}") from error
