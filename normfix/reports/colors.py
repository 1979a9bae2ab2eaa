"""Colours for terminals that want them."""

from __future__ import annotations

import os

from normfix.findings import Severity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

BOLD, RED, YELLOW, BLUE, CYAN = "1", "1;31", "1;33", "1;34", "36"
SEVERITIES = {Severity.ERROR: RED, Severity.WARNING: YELLOW, Severity.INFO: BLUE}


def wanted(stream: TextIO) -> bool:
    """NO_COLOR and FORCE_COLOR decide when they are set and not empty; else whether a terminal is listening."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class Painter:
    """Wraps text in colour codes, or leaves it as it is."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def __call__(self, text: str, color: str) -> str:
        return f"\x1b[{color}m{text}\x1b[0m" if self.enabled and text else text
