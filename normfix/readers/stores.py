"""Where the statements of a text give a name its value."""

from __future__ import annotations

from functools import cache

from normfix.lazy import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re

_GIVEN = pattern(r"[ \t]*(?::[^=\n(),]*)?=(?!=)[ \t]*(.*)")
"""What stands behind a name in a statement that gives it a value, and behind the name of an argument."""
_LISTED = pattern(r"[ \t(\[]*(?:[\w.*]+[ \t]*,[ \t(]*)*(?:\w+\.)?")
_CLOSED = pattern(r"[\w\s.*,]*[)\]][^=\n]*=(?!=)")
_UNPACKED = pattern(r"[ \t]*[,)\]][^=\n]*=(?!=)")
_LAST = pattern(r"[^=\n]*=(?!=)")
_LOOPED = pattern(r"\bfor\b(?:(?!\bin\b).)*$|\b(?:as|global|nonlocal)[ \t]+[\w, \t]*$")
"""What stands before and behind a name that gets its value in another way."""


def stores(name: str, code: str, first: int = 0, last: int | None = None) -> list[tuple[int, str]]:
    """What the statements of bare code, or of a stretch of it, give to a name or an attribute of that name, and where.

    The text is empty where it gets its value otherwise: by a loop, as one of several.
    """
    found = []
    for one in word(name).finditer(code, first, len(code) if last is None else last):
        if code.startswith((".", "(", "["), one.end()):
            continue
        start, end = code.rfind("\n", 0, one.start()) + 1, code.find("\n", one.end())
        before, after = code[start : one.start()], code[one.end() : end if end >= 0 else len(code)]
        given, inside = _GIVEN.match(after), code[:start].rstrip()[-1:] in tuple(",([{")
        if after.lstrip().startswith(":=") or _LOOPED.search(before) or _is_unpacked(before, code, one.end(), inside):
            found.append((one.start(), ""))
        elif given and not (inside if before.isspace() else before.rstrip()[-1:] in (",", "(")):
            found.append((one.start(), given[1]))
    return found


def _is_unpacked(before: str, code: str, place: int, inside: bool) -> bool:
    """Is a name one of several in front of an equals sign; on a line that lies within brackets, such are arguments."""
    if _LISTED.fullmatch(before) is None:
        return False
    told = _CLOSED if inside else _UNPACKED if "," not in before else _LAST
    return told.match(code, place) is not None


@cache
def word(name: str) -> re.Pattern[str]:
    """This name, as a whole word."""
    import re

    return re.compile(rf"{name}(?<!\w{name})(?!\w)")
