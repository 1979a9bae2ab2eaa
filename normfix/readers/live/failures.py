"""Why a trace failed, in one line: the error and the caller's line that raised it."""

from __future__ import annotations

import os
import re
import traceback
from pathlib import Path

import torch

_TORCH = str(Path(torch.__file__).parent) + os.sep
_OWN = str(Path(__file__).parents[2]) + os.sep
_BLAMED = re.compile(r'The following call raised this error:\s+File "([^"]+)", line (\d+), in \w+\s+(.+)')
_BRANCHES = ("GuardOnDataDependentSymNode", "DataDependentOutputException", "TraceError", "DynamicOutputShapeException")


def why(error: Exception) -> str:
    """One line: what went wrong, and where in the caller's code."""
    text = str(error).strip()
    name = type(error).__name__
    blamed = _BLAMED.search(text)
    where = (blamed[1], int(blamed[2]), blamed[3].strip()) if blamed else _last_line(error)
    if name in _BRANCHES:
        what = "a branch depends on the values of a tensor"
    else:
        what = f"{name}: {text.partition(chr(10))[0]}" if text else name
    if where is None:
        return what
    path, line, code = where
    return f"{what}, at {Path(path).name}:{line} `{code}`"


def _last_line(error: Exception) -> tuple[str, int, str] | None:
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith((_TORCH, _OWN, "<")) and frame.line:
            return frame.filename, frame.lineno or 0, frame.line
    return None
