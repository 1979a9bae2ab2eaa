"""What cannot be done: bad input, which ends a run with exit code 2, and a change that would not be safe."""


class UsageError(Exception):
    """Bad input. The message says what was being done, on what, and why it failed, on one line."""

    def __init__(self, message: str) -> None:
        # It may quote what somebody else's exception says on many lines.
        super().__init__(" ".join(line.strip() for line in message.splitlines() if line.strip()))


class Refused(Exception):
    """A rewrite or a fix that would not be safe: nothing was changed. `reason` is one sentence that names the layer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
