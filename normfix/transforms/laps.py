"""Where the time of a rewrite goes: every second belongs to one of four steps."""

from __future__ import annotations

import time
from collections.abc import Mapping


class Laps:
    """Times a rewrite from now on. `step` is what its planning and carrying out are called."""

    def __init__(self, step: str) -> None:
        self.seconds = {"capture": 0.0, step: 0.0, "formula": 0.0, "deployed": 0.0}
        self._since = time.perf_counter()

    def end(self, step: str, deployed: float = 0.0) -> None:
        """The time since the last step goes to this one, but for the seconds that ONNX Runtime took of it."""
        now = time.perf_counter()
        self.seconds[step] += now - self._since - deployed
        self.seconds["deployed"] += deployed
        self._since = now

    def include(self, seconds: Mapping[str, float]) -> None:
        """Add the steps of another rewrite, which just ended and was within this one."""
        for step, value in seconds.items():
            self.seconds[step] += value
        self._since = time.perf_counter()
