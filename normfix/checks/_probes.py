"""Which sources may send made-up input through a network that they construct, told from their text."""

import re
from collections.abc import Iterable

from normfix.checks._spelled import around, heads
from normfix.lazy import pattern

SHORT = "zeros ones rand randn empty full randint".split()
"""Functions of torch that make up a tensor."""
MADE_UP = pattern(rf"(?:{'|'.join(SHORT)})\(")
_HELPER = pattern(r"self\.(\w+)\(")
_TAKEN = pattern(r"(?<![\w.])(?:([\w.]+)\(|(\w[\w \t,=]*)(?::[^=\n]*)?=)[\s\\(]*(?:[\w.]*Variable\(\s*)?[\w.]*\Z")
"""What is called with a value that stands here, or is given it as a name."""
_ARGUMENT = pattern(r"\(\s*([^\W\d]\w*)(?=\s*[,.)])")
_RENAMED = pattern(r"=[ \t\\(]*([^\W\d]\w*)(?=[ \t]*[.\r\n),#;])")
_WORDS = pattern(r"[^\W\d]\w*")
_REACH = 150
"""Characters before a value that tell what takes it."""


def may_probe(text: str) -> bool:
    """Is there made-up input for a part of a module in its constructor, or for a local network that is used again."""
    probed = _probed(text)
    parts = {name for name in probed if name.partition(".")[0] == "self"}
    return (bool(parts) and _probes_in_constructor(text)) or any(_is_used_again(text, name) for name in probed - parts)


def _is_used_again(text: str, name: str) -> bool:
    # The name stands first: Python looks for it fast, and only then at what is around it.
    if "." in name or not re.search(
        rf"{name}(?<!\w{name})[\w \t,]{{0,99}}(?::[^=\n]{{0,99}})?=[^=\n][^\n]*[(\\]", text
    ):
        return False
    if ".backward(" in text or re.search(rf"return[ \t]+{name}\b", text):
        return True
    return re.search(rf"{name}(?<=[(,=\s]{name})\s*[,).]", text) is not None


def _probed(text: str) -> set[str]:
    """What is called with made-up input, as it is or under one of the names that it is given."""
    called, made = _takers(text, (word.start() for word in MADE_UP.finditer(text)))
    for _ in range(2 if made else 0):
        made |= _takers(text, (one.start(1) for one in _RENAMED.finditer(text) if one[1] in made))[1]
    again = (one.start(1) for one in _ARGUMENT.finditer(text) if one[1] in made) if made else ()
    return called | _takers(text, again)[0]


def _takers(text: str, places: Iterable[int]) -> tuple[set[str], set[str]]:
    """What is called with the values at these places, and the names that are given them."""
    called: set[str] = set()
    named: set[str] = set()
    for place in places:
        found = _TAKEN.search(text[max(place - _REACH, 0) : place])
        if found and found[1]:
            called.add(found[1])
        elif found:
            named.update(_WORDS.findall(found[2]))
    return called, named


def _probes_in_constructor(text: str) -> bool:
    functions = heads(text)
    makers = {name for word in MADE_UP.finditer(text) for name in around(functions, word.start())}
    return "__init__" in makers or any(
        "__init__" in around(functions, call.start()) for call in _HELPER.finditer(text) if call[1] in makers
    )
