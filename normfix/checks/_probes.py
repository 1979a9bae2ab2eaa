"""Which sources may send made-up input through a network that they construct, told from their text."""

import re
from collections.abc import Iterable, Iterator

from normfix.checks._spelled import run_in
from normfix.lazy import pattern

SHORT = "zeros ones rand randn empty full randint".split()
"""Functions of torch that make up a tensor."""
MADE_UP = tuple(f"{name}{opened}" for name in SHORT for opened in ("(", " ("))
_TAKEN = pattern(
    r"(?<![\w.])(?:([\w.]+) ?\(|(\w[\w \t,=]*)(?::[^=\n]*)?=)(?:[\s\\(]|#[^\n]*\n)*(?:[\w.]*Variable ?\(\s*)?[\w.]*\Z"
)
"""What is called with a value that stands here, or is given it as a name."""
_ARGUMENT = pattern(r"\(\s*(?:#[^\n]*\n\s*)*(\w+)\s*[,.)]")
_RENAMED = pattern(r"=[ \t\\(]*(\w+)[ \t]*[.\r\n#;]")
_WORDS = pattern(r"[^\W\d]\w*")
_REACH = 150
"""Characters before a value that tell what takes it."""


def may_probe(text: str) -> bool:
    """Is there made-up input for a part of a module in its constructor, or for a local network that is used again."""
    parts: list[int] = []
    names: set[str] = set()
    for place, name in _probes(text):
        if name.partition(".")[0] == "self":
            parts.append(place)
        elif "." not in name:
            names.add(name)
    return (bool(parts) and run_in(text, parts, ("__init__",))) or any(_is_used_again(text, name) for name in names)


def made_up(text: str) -> Iterator[int]:
    """Where the functions that make up tensors are called, and others whose names end as theirs do."""
    for word in MADE_UP:
        place = text.find(word)
        while place >= 0:
            yield place
            place = text.find(word, place + 1)


def _probes(text: str) -> list[tuple[int, str]]:
    """Where something is called with made-up input, as it is or under one of the names that it is given; and what."""
    calls, made = _takers(text, made_up(text))
    for _ in range(2):
        if not made.isdisjoint(_RENAMED.findall(text)):
            made |= _takers(text, [one.start(1) for one in _RENAMED.finditer(text) if one[1] in made])[1]
    if not made.isdisjoint(_ARGUMENT.findall(text)):
        calls += _takers(text, [one.start(1) for one in _ARGUMENT.finditer(text) if one[1] in made])[0]
    return calls


def _takers(text: str, places: Iterable[int]) -> tuple[list[tuple[int, str]], set[str]]:
    """Where something is called with the values at these places, and what; and the names that the values are given."""
    calls: list[tuple[int, str]] = []
    names: set[str] = set()
    for place in places:
        found = _TAKEN.search(text[max(place - _REACH, 0) : place])
        if found and found[1]:
            calls.append((place, found[1]))
        elif found:
            names.update(_WORDS.findall(found[2]))
    return calls, names


def _is_used_again(text: str, name: str) -> bool:
    # The name stands first: Python looks for it fast, and only then at what is around it.
    if not re.search(rf"{name}(?<!\w{name})[\w \t,]{{0,99}}(?::[^=\n]{{0,99}})?=[^=\n][^\n]*[(\\]", text):
        return False
    if ".backward(" in text or re.search(rf"return[ \t]+{name}\b", text):
        return True
    return re.search(rf"{name}(?<=[(,=\s]{name})\s*[,).]", text) is not None
