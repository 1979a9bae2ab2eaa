"""How many groups a group norm gets that takes the place of another norm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

from normfix.errors import Refused

Groups = int | Mapping[str, int] | Callable[[int], int]
"""The largest number of groups, or the number by path pattern, or a function of the channels."""


def group_count(path: str, channels: int, elements: int | None, groups: Groups) -> int:
    """Groups of a group norm that takes the place of a norm over `channels`, each of `elements` values a sample.

    A number is an upper bound: the largest divisor of the channels that leaves at least two values in a group. A
    mapping of path patterns, or a function of the channels, gives the count itself. Raises `Refused`.
    """
    if isinstance(groups, int):
        fitting = [g for g in range(1, channels + 1) if channels % g == 0 and g <= groups]
        several = [g for g in fitting if elements is None or channels // g * elements > 1]
        if not several:
            raise Refused(f"`{path}` would get groups of one value, which a group norm turns into its bias")
        return several[-1]
    if callable(groups):
        count = groups(channels)
    else:
        found = [number for pattern, number in groups.items() if fnmatchcase(path, pattern)]
        if not found:
            raise Refused(f"`{path}` matches no pattern of `groups`")
        count = found[0]
    if not isinstance(count, int):
        raise Refused(f"`{path}` gets {count!r} groups, which is no whole number")
    if count < 1 or channels % count:
        raise Refused(f"`{path}` has {channels} channels, which {count} groups do not divide")
    if elements is not None and channels // count * elements < 2:
        raise Refused(f"`{path}` would get groups of one value, which a group norm turns into its bias")
    return count
