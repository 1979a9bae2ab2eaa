"""Which classes and functions a source may define, told from its text."""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence

from normfix.lazy import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re

_FUNCTION = pattern(r"def[ \t]+(\w+)")
_HELPER = pattern(r"self\.(\w+)[ \t]*\(")
_DEEPEST = 200
"""Characters that functions are indented by at most."""
_CLASS = pattern(r"class(?<!\wclass)[ \t]+\w+[ \t]*\(([^()]*)")
_CALL = r"(?<!\wNAME)(?<!def NAME)(?:[ \t]*\((?!\))|[ \t]+as\b)"
_RENAMING = r"(?:(?<=[=.\t]NAME)|(?<=[= \t] NAME))(?<!torch\.export)(?<!torch\.utils\.checkpoint)[ \t]*[\r\n#;]"
"""What ends a line behind "=" or "."; these two are modules, which other files only import."""
_BASES = ("nn.", "Module", "PreTrainedModel")
_LAYERS = pattern(r"nn(?<!\wnn)\b")
"""What stands in a file that names layers: the base of its classes may stand in another file, or have another name."""


def may_define_module(text: str) -> bool:
    """Is there a class that may derive from nn.Module, LightningModule or PreTrainedModel, directly or not."""
    bases = _CLASS.findall(text)
    return any(known in one for known in _BASES for one in bases) or (any(bases) and _LAYERS.search(text) is not None)


def called(*names: str) -> "tuple[re.Pattern[str], ...]":
    """Patterns of calls with arguments of functions of these names, and of what gives one of them another name."""
    return tuple(pattern(rf"{name}(?:{_CALL}|{_RENAMING})".replace("NAME", name)) for name in names)


def heads(text: str) -> list[tuple[int, int, str]]:
    """Where each function begins, how deep, and its name; one in a text surrounds no other, and stands deepest."""
    found, done, quotes = [], 0, 0
    for one in _FUNCTION.finditer(text):
        line = text.rfind("\n", 0, one.start()) + 1
        before = text[line : one.start()].removesuffix("async ") if one.start() - line < _DEEPEST else "x"
        if not before.strip(" \t"):
            quotes, done = quotes + text.count('"""', done, line) + text.count("'''", done, line), line
            found.append((line, _DEEPEST if quotes % 2 else len(before), one[1]))
    return found


def around(functions: Sequence[tuple[int, int, str]], place: int) -> Iterator[str]:
    """Names of the functions that a place may stand in, innermost first: one that it does not may be among them."""
    depth = None
    for _, indentation, name in reversed(functions[: bisect_left(functions, (place,))]):
        if depth is None or indentation < depth:
            depth = indentation
            yield name
        if not depth:
            return


def run_in(text: str, places: Iterable[int], methods: Collection[str]) -> bool:
    """May one of the places stand in one of these methods, or in a method that one of them calls."""
    functions = heads(text)
    names = {name for place in places for name in around(functions, place)}
    return any(name in names for name in methods) or any(
        name in methods
        for call in _HELPER.finditer(text)
        if call[1] in names
        for name in around(functions, call.start())
    )
