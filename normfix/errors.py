"""What a user did that cannot be done: one sentence, exit code 2, nothing changed."""


class UsageError(Exception):
    """Bad input. The message says what was being done, on what, and why it failed."""
