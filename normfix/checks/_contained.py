"""Which sources may keep layers in a plain list or dict of a module, told from their text."""

import re
from collections.abc import Iterator

from normfix import norms, vocabulary
from normfix.lazy import pattern
from normfix.usage.zoo import LIBRARIES

STATEFUL = norms.NORMS | vocabulary.PRODUCERS | vocabulary.DROPOUTS | {"Embedding", "LSTM", "GRU", "RNN", "Sequential"}
"""Layers that it matters to register."""
_SENSITIVE = pattern(
    "|".join(["BatchNorm", "[dD]ropout", "hub", *sorted({one.partition(".")[0] for one in LIBRARIES})])
)
"""What stands in a file with a class that eval() changes."""
_CLASSES = pattern(r"class(?<!\wclass)[ \t]+(\w+)")
_RENAMED = (pattern(r"as(?<!\was)[ \t]+(\w+)"), pattern(r"\n(\w+)[ \t]*="))
_KEPT = pattern(r"self\.\w+[ \t]*(?::[^=\n]{0,200})?=[\s\\(]*([\w \t,)]+)(?=[\r\n#;=\\]|\Z)")
"""Names that are put on a module."""
_APPENDED = pattern(r"\.append[ \t]*\(\s*(?:#[^\n]*\n\s*)*([\w.]+)\s*\(")
_STORED = pattern(r"\][ \t]*=[\s\\(]*([\w.]+)\s*\(")
"""A layer that is stored under a key."""
_GROWN = pattern(r"\.(?:extend|update|insert|setdefault)[ \t]*\(")
"""Methods that put more into a container."""
_OPENED = (
    pattern(r"=(?:[\s\\]*(?:[\[{(]|(?:dict|list)\()|[ \t]*\\[\s\\]*[\w.]*OrderedDict\()"),
    pattern(r"OrderedDict\("),
    *(pattern(rf"\{join}[\s\\(]*[\[{{]") for join in "+*|"),
)
"""A value that is a container or in brackets, and a sum of containers."""
_GIVEN = pattern(r"=[ \t]*[\w.]*\Z")
_CONTAINER = pattern(r"(?<![\w\])])[\[{]|\b(?:and|else|if|in|is|lambda|not|or)[\[{]|(?:dict|list|Dict)\(")
"""What a value in brackets holds that is a container; `sizes[0]` is a part of one."""
_HOLDER = pattern(r"(\w+)(?:\.(\w+))?\Z")
_ASSIGNED = pattern(r"(?:[\w \t.,)\]*]|\\\r?\n){0,200}(?::(?:[^=\n\[]|\[[^=\]]*\]){0,200})?=(?!=)")
_WITHIN = pattern(r"[\w.]\Z")
"""What stands before a part of a name."""
_OTHERWISE = pattern(r"\b(?:for|as|global|nonlocal|import|def|class)\b(?:(?!\bin\b)[^:=\n])*\Z")
"""What else gives a name a value than an assignment."""
_MODULES = pattern(r"[\s\\(]*[\w.]*(?:ModuleList|ModuleDict|Sequential)[ \t]*\(")
_PARTS = pattern(
    r"#[^\n]*|'''[\s\S]*?(?:'''|\Z)|\"\"\"[\s\S]*?(?:\"\"\"|\Z)|'(?:[^'\\\n]|\\.)*'?|\"(?:[^\"\\\n]|\\.)*\"?"
    r"|\\\r?\n|([\[({])|([\])}])|(\n)|(\w+)(\s*\()?"
)
"""Brackets and ends of lines, which tell where a value ends, what hides them, and names, with the bracket of a call."""
_GROUP = pattern(r"\([^()]*\)")
_ARGUMENT = pattern(r"[\w\])][ \t]*\(")
_WORDS = pattern(r"[^\W\d]\w*")
_REACH = 200
"""Characters before a value that its target stands in."""


def may_contain_layers(text: str) -> bool:
    """Is there a container with a layer in it, or a layer that is appended, under a name that a module keeps.

    Each text is gone through once, however it is written.
    """
    kept = {"self", *(name for names in _KEPT.findall(text) for name in _WORDS.findall(names))}
    called = {*_appended(text, kept), *_held(text, kept)}
    return not called.isdisjoint(STATEFUL) or bool(called and not called.isdisjoint(_other_names(text)))


def _other_names(text: str) -> set[str]:
    """What layers, and classes that hold some, may be called in this file."""
    own = _CLASSES.findall(text) if _SENSITIVE.search(text) else []
    return {*own, *(name for renamed in _RENAMED for name in renamed.findall(f"\n{text}"))}


def _appended(text: str, kept: set[str]) -> Iterator[str]:
    """Names of what is called and put into one of the names that are kept."""
    registered: dict[str, bool] = {}
    for found in _APPENDED.finditer(text):
        holder = _HOLDER.search(text[max(found.start() - _REACH, 0) : found.start()])
        if holder and holder[1] in kept and not _is_registered(text, holder, registered):
            yield found[1].rpartition(".")[2]
    for found in _STORED.finditer(text):
        if not kept.isdisjoint(_WORDS.findall(_line(text, found.start()))):
            yield found[1].rpartition(".")[2]
    for found in _GROWN.finditer(text):
        holder = _HOLDER.search(text[max(found.start() - _REACH, 0) : found.start()])
        if holder and _is_registered(text, holder, registered):
            continue
        if not kept.isdisjoint(_WORDS.findall(_line(text, found.start()))):
            yield from _value(text, found.end() - 1)[1]


def _is_registered(text: str, holder: "re.Match[str]", known: dict[str, bool]) -> bool:
    """Is all that a name is given, in statements of its own, a module that may grow: `self.layers = ModuleList()`."""
    name = holder[0]
    if name not in known:
        own = name if holder[2] is None else rf"{holder[1]}\s*\.\s*{holder[2]}"
        known[name] = _is_given_modules(text, re.compile(rf"{own}\b"))
    return known[name]


def _is_given_modules(text: str, name: "re.Pattern[str]") -> bool:
    given = 0
    for found in name.finditer(text):
        line = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
        value = _ASSIGNED.match(text, found.end())
        if _WITHIN.search(line):
            continue
        if _OTHERWISE.search(line) or (value and (line.strip() or not _MODULES.match(text, value.end()))):
            return False
        given += value is not None
    return given > 0


def _held(text: str, kept: set[str]) -> Iterator[str]:
    """Names of what is called in containers that are given to one of the names that are kept."""
    for kind in _OPENED:
        end = 0
        for start in (one.start() for one in kind.finditer(text)):
            line = _line(text, start)
            if start < end or kept.isdisjoint(_WORDS.findall(line)):
                continue
            if text[start] == "=" or _GIVEN.search(line) or not _is_argument(line):
                end, called = _value(text, start + 1)
                yield from called if _CONTAINER.search(text, start, end) else ()


def _line(text: str, place: int) -> str:
    """What stands before a place in its line, or the end of that."""
    start = max(place - _REACH, 0)
    return text[max(text.rfind("\n", start, place) + 1, start) : place]


def _is_argument(line: str) -> bool:
    """Does a line end within the arguments of a call."""
    size = 0
    while len(line) != size:
        size, line = len(line), _GROUP.sub("", line)
    return _ARGUMENT.search(line) is not None


def _value(text: str, start: int) -> tuple[int, list[str]]:
    """Where the value that begins here ends, and the names of what is called in its brackets."""
    depth = 0
    called: list[str] = []
    for part in _PARTS.finditer(text, start):
        opens, closes, line, name, call = part.groups()
        if call and depth:
            called.append(name)
        depth += bool(opens or call) - bool(closes)
        if depth < 0 or (line and not depth):
            return part.end(), called
    return len(text), called
