"""Regular expressions that are compiled when they are first used: a dozen would take 4 ms of every start."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """What `re.compile` gives, in due time."""
    return _Pattern(text, flags)  # type: ignore[return-value]  # it takes the methods of a pattern on


class _Pattern:
    def __init__(self, text: str, flags: int) -> None:
        self._source = (text, flags)

    def __getattr__(self, name: str) -> Any:
        """Only called for what is not there yet."""
        value = getattr(re.compile(*self._source), name)
        setattr(self, name, value)
        return value
