"""The source line of a call, from the stack trace that torch keeps with each node."""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import torch
from torch import fx

from normfix.graph import Origin

_FRAME = re.compile(r'File "([^"]+)", line (\d+), in ')
_SKIPPED = (str(Path(torch.__file__).parent), str(Path(__file__).parent), "<")


def line_of(nodes: Iterable[fx.Node]) -> Origin | None:
    """The innermost line outside torch that led to the first of these nodes; None where no trace was kept."""
    for node in nodes:
        trace = node.meta.get("stack_trace") or node.stack_trace
        if trace:
            frames = _FRAME.findall(trace)
            own = [frame for frame in frames if not frame[0].startswith(_SKIPPED)]
            if own:
                return origin(own[-1][0], int(own[-1][1]))
    return None


@cache
def origin(path: str, line: int) -> Origin:
    """The whole of one line, without its indentation; its path is relative when it lies below this folder."""
    text = linecache.getline(path, line).rstrip()
    start = len(text) - len(text.lstrip()) + 1
    return Origin(relative(path), line, start, line, max(len(text) + 1, start))


def relative(path: str) -> str:
    """A path below this folder without it; any other as it is."""
    try:
        return Path(path).relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path
