"""What a user did that cannot be done: one sentence, exit code 2, nothing changed."""


class UsageError(Exception):
    """Bad input. The message says what was being done, on what, and why it failed, on one line."""

    def __init__(self, message: str) -> None:
        # It may quote what somebody else's exception says on many lines.
        super().__init__(" ".join(line.strip() for line in message.splitlines() if line.strip()))
