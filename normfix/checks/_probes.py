"""Which sources, and which scopes of them, may send made-up input through a network that they construct."""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from normfix.checks._spelled import run_in
from normfix.lazy import pattern
from normfix.script import FUNCTIONS, Function, Script, walk
from normfix.usage.lines import lines_where, of_node
from normfix.usage.steps import Scope, functions, scopes

MAKERS = frozenset(f"torch.{name}" for name in "zeros ones rand randn empty full randint".split())
"""Functions of torch that make up a tensor."""
MADE_UP = tuple(pattern(rf"{name} ?\(") for name in ("zeros", "ones", "rand(?:n|int)?", "empty", "full"))
"""Their calls."""
_TAKEN = pattern(
    r"(?<![\w.])(?:([\w.]+) ?\(|(\w[\w \t,=]*)(?::[^=\n]*)?=)(?:[\s\\(]|#[^\n]*\n)*(?:[\w.]*Variable ?\(\s*)?[\w.]*\Z"
)
"""What is called with a value that stands here, or is given it as a name."""
_ARGUMENT = pattern(r"\(\s*(?:#[^\n]*\n\s*)*(\w+)\s*[,.)]")
_RENAMED = pattern(r"=[ \t\\(]*(\w+)[ \t]*[.\r\n#;]")
_SET = pattern(r"[\w \t,]{0,99}(?::[^=\n]{0,99})?=[^=\n][^\n]*[(\\]")
"""Behind a name that is given what a call returns."""
_COMPOUND = pattern(r"\s*(?:async|case|class|def|elif|else|except|finally|for|if|match|try|while|with)\b")
_STATEMENTS = pattern(r"[;:]")
_KEYWORDS = frozenset("and assert await del elif else except if in is lambda not or raise return while yield".split())
_WORDS = pattern(r"[^\W\d]\w*")
_OWN_CALL = pattern(r"self\b(?:[\w.\s\\)]|#[^\n]*\n)*\(\s*[^\s)\"']")
"""A call of the module or of a part of it; a text is no made-up input."""
_REACH = 150
"""Characters before a value that tell what takes it."""


def may_probe(text: str) -> bool:
    """Is there made-up input for a part of a module in its constructor, or for a local network that is used again."""
    parts: list[int] = []
    names: set[str] = set()
    for place, name in _probes(text):
        if name.partition(".")[0] == "self":
            parts.append(place)
        elif "." not in name and name not in _KEYWORDS:
            names.add(name)
    return (bool(parts) and run_in(text, parts, ("__init__",))) or any(_is_used_again(text, name) for name in names)


def made_up(text: str) -> Iterator[int]:
    """Where the functions that make up tensors are called, and others whose names end as theirs do."""
    return (found.start() for maker in MADE_UP for found in maker.finditer(text))


def _probes(text: str) -> list[tuple[int, str]]:
    """Where something is called with made-up input, as it is or under one of the names that it is given; and what."""
    calls, made = _takers(text, made_up(text))
    if not made:
        return calls
    renamed = [(one[1], one.start(1)) for one in _RENAMED.finditer(text)]
    for _ in range(2):
        made |= _takers(text, [place for name, place in renamed if name in made])[1]
    return calls + _takers(text, [one.start(1) for one in _ARGUMENT.finditer(text) if one[1] in made])[0]


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
    if not _is_given_value(text, name):
        return False
    if ".backward(" in text or re.search(rf"return[ \t]+{name}\b", text):
        return True
    return re.search(rf"{name}(?<=[(,=\s]{name})\s*[,).]", text) is not None


def _is_given_value(text: str, name: str) -> bool:
    """May the value of a call be kept under this name. A pattern for each name would take long to compile."""
    place = text.find(name)
    while place >= 0:
        before = text[place - 1 : place]
        given = None if before.isalnum() or before == "_" else _SET.match(text, place + len(name))
        if given is not None and (
            ":=" in given[0] or _is_target(text[text.rfind("\n", 0, place) + 1 : place].rstrip())
        ):
            return True
        place = text.find(name, place + 1)
    return False


def _is_target(line: str) -> bool:
    """May a name behind this part of a line be what is given a value: no attribute, annotation or keyword argument."""
    if line.endswith((".", "|")):
        return False
    if line.endswith(":"):
        return _COMPOUND.match(line) is not None and _is_closed(line)
    return _is_closed(_STATEMENTS.split(line)[-1])


def _is_closed(code: str) -> bool:
    """Is no bracket open behind this code, as far as it holds no text, which may hold some."""
    return "'" in code or '"' in code or code.count("(") <= code.count(")")


def scopes_with_makers(script: Script) -> Iterator[Scope]:
    """The scopes that may probe with a tensor that they make up; other bodies are not looked through."""
    renamed = any(meaning in MAKERS and not meaning.endswith(f".{name}") for name, meaning in script.imports.items())
    lines = lines_where(script, _making(script))
    outside = set(lines)
    for function in functions(script):
        within = of_node(lines, function)
        if within:
            outside.difference_update(within)
        if (renamed or within) and _may_probe(script, function) and _makes_up(script, scopes(script)[function]):
            yield scopes(script)[function]
    if (renamed or outside) and _makes_up(script, scopes(script)[script.tree]):
        yield scopes(script)[script.tree]


def _making(script: Script) -> Callable[[str], Iterable[int]]:
    """A question about a text: where it makes up tensors, by the names that torch has in this file."""
    if any(meaning in MAKERS for meaning in script.imports.values()):
        return made_up
    names = {"torch", *(name for name, meaning in script.imports.items() if meaning == "torch")}
    called = _called("|".join(sorted(names)))
    return lambda text: (found.start() for found in called.finditer(text))


@lru_cache(maxsize=8)
def _called(names: str) -> "re.Pattern[str]":
    makers = "|".join(sorted(name.partition(".")[2] for name in MAKERS))
    return re.compile(rf"(?:{names})(?:[\s\\]|#[^\n]*\n)*\.(?:[\s\\]|#[^\n]*\n)*(?:{makers}) ?\(")


def _makes_up(script: Script, scope: Scope) -> bool:
    return any(script.resolve(call.func) in MAKERS for call in scope.calls)


def _may_probe(script: Script, function: Function) -> bool:
    """May a constructor run this function, or does it call something that it builds itself, as their texts tell."""
    text = script.text_of(function)
    owner = script.class_of(function) if _OWN_CALL.search(text) else None
    for method in owner.body if owner is not None else ():
        constructs = isinstance(method, FUNCTIONS) and method.name == "__init__"
        if constructs and (method is function or f"self.{function.name}" in script.text_of(method)):  # type: ignore[arg-type]
            return True
    given = [target for one in script.within(ast.Assign, function) for target in one.targets]
    given += [one.target for one in script.within(ast.AnnAssign, function)]
    given += [
        item.optional_vars for one in script.within(ast.With, function) for item in one.items if item.optional_vars
    ]
    names = {part.id for target in given for part in walk(target) if isinstance(part, ast.Name)}
    return ":=" in text or any(_is_called(name, text) for name in names)


def _is_called(name: str, text: str) -> bool:
    """Is there a call of this name in a text, not of one that ends in it or of an attribute."""
    place = text.find(name)
    while place >= 0:
        after = text[place + len(name) : place + len(name) + 2].lstrip()
        if after[:1] == "(" and not (place and (text[place - 1].isalnum() or text[place - 1] in "_.")):
            return True
        place = text.find(name, place + 1)
    return False
