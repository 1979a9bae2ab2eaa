"""Classes of whose norms no rule has anything to say, told from their text: most of those in models of language.

All of their norms are layer norms that are used, whose eps is a usual one, whose width nobody can know, and beside
which no layer makes a width that is written like theirs and yet differs. What else a rule says of a layer norm needs a
width that is known. `interpreter/leaving.py` tells the same of classes that were read.
"""

from __future__ import annotations

from functools import cache, lru_cache

from normfix import norms
from normfix.lazy import pattern
from normfix.readers.bare_code import Part, arguments, bare, in_signature, parts
from normfix.readers.clashing import clashes, hands_on_makers
from normfix.readers.naming import (
    names_layer_norms_only,
    names_norm,
    places_of,
    puts_name_together,
    without_probes,
)
from normfix.readers.unknown_widths import Unknowns

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re

_IMPORT = pattern(r"import[ \t]+(\([^()]*\)|[^\n]*)")
_RENAMED = pattern(
    r"\b(\w*(?:Norm|_norm|LRN)\w*|Embedding|(?:Lazy)?Linear|(?:Lazy)?Conv(?:Transpose)?[123]d)?[ \t]+as[ \t]+(\w+)"
)
_MATTERING = ("spectral_norm", "= nn.LayerNorm,", "= LayerNorm,", "partial(nn.LayerNorm", "partial(LayerNorm")
"""A bounded weight; a class of norms that is handed on, as in most networks for images, which a glance tells."""
_KEPT = pattern(r"[ \t]+self\.(\w+)(?:[ \t]*:[^=\n]*)?(?:[ \t]*=|\.append\()")
_AROUND = pattern(r"\(?\s*(?:(?:torch\.)?nn\.)?(?:(?:ModuleList|Sequential)\(\s*\[?\s*(?:(?:torch\.)?nn\.)?)?")
"""What may stand between the name of an attribute and its layer norm, or the first of them."""
_NESTED = pattern(r"\n[ \t]+class[ \t]")
_OPTION = pattern(r"(?:bias|elementwise_affine|device|dtype)[ \t]*=")
_NUMBER = pattern(r"\d+(?:\.\d*)?(?:[eE]-?\d+)?")
_LOOKED_UP = pattern(r"getattr\(\s*(\w+)")
_HANDED_ON = pattern(r"nn(?<!\wnn)(?<!from torch\.nn)(?:\.(?:functional|modules))?[ \t]*[\r\n,)]")
"""A module in whose place other names may stand, or that other code looks into."""
_MODULES = ("torch", "nn", "F", "functional")


def only_plain_norms(text: str) -> bool:
    """Are all norms that this source names in classes of whose norms no rule has anything to say."""
    return not _judged(text)[1]


def plain_classes(text: str) -> frozenset[str]:
    """The names of the classes at the top level of this source of whose norms no rule has anything to say."""
    return _judged(text)[0]


@lru_cache(maxsize=1)
def _judged(text: str) -> tuple[frozenset[str], bool]:
    """Those classes, and whether there are norms elsewhere. Asked before a file is parsed, and after."""
    if puts_name_together(text) or any(word in text for word in _MATTERING):
        return frozenset(), True
    pieces = _IMPORT.split(bare(text))
    code = without_probes("".join(pieces[::2]))
    if _looks_up(code, "\n".join(pieces[1::2])) or hands_on_makers(code):
        return frozenset(), True
    found = parts(code)
    names = [one.name for one in found if one.name]
    naming = [one for one in found if names_norm(code[one.start : one.end])]
    if len(set(names)) < len(names):
        return frozenset(), bool(naming)
    unknowns = Unknowns(code, found)
    plain = frozenset(one.name for one in naming if _is_plain(one, code, unknowns))
    return plain, len(plain) < len(naming)


def _looks_up(code: str, imports: str) -> bool:
    """Does a layer, or what looks for one by its name, go by another name than its own."""
    renamed = _RENAMED.findall(imports) if " as" in imports or "\tas" in imports else []
    if any(kind for kind, _ in renamed):
        return True
    modules = {*_MODULES, *(name for _, name in renamed)}
    if "getattr(" in code and not modules.isdisjoint(_LOOKED_UP.findall(code)):
        return True
    return _HANDED_ON.search(code) is not None


def _is_plain(part: Part, code: str, unknowns: Unknowns) -> bool:
    own = code[part.start : part.end]
    if not part.is_class or _NESTED.search(own) or not names_layer_norms_only(own):
        return False
    widths: list[str] = []
    for place in places_of("LayerNorm", own):
        told = in_signature(own, place) and not own.startswith("(", place + len("LayerNorm"))
        if told or own.startswith("self.", place - len("self.")):
            continue
        width = _plain_width(code, part.start + place, unknowns)
        if width is None or not _is_kept(own, place):
            return False
        widths.append(width)
    return not widths or not clashes(own, widths)


def _plain_width(code: str, place: int, unknowns: Unknowns) -> str | None:
    """How the width of a layer norm is written, where neither that nor its other arguments matter to a rule."""
    opening = place + len("LayerNorm")
    given = arguments(code, opening)[0] if code.startswith("(", opening) else [""]
    if len(given) > 1 and not given[-1] and "=" in given[-2]:
        given.pop()
    width, *others = [one.removeprefix("normalized_shape=") for one in given]
    plain = unknowns.holds(width, place) and not width.startswith(("(", "["))
    return width if plain and all(_is_plain_option(one, width, place, unknowns) for one in others) else None


def _is_plain_option(text: str, width: str, place: int, unknowns: Unknowns) -> bool:
    if _OPTION.match(text):
        return "half" not in text and "float16" not in text
    name, equals, value = text.rpartition("=")
    if name.strip() not in ("", "eps"):
        return False
    value = value.strip()
    if _NUMBER.fullmatch(value):
        return 0 < float(value) <= norms.UNUSUAL_EPS
    told = not equals and ("".join(value.split()) == "".join(width.split()) or "momentum" in value.lower())
    return not told and unknowns.holds(value, place)


def _is_kept(code: str, place: int) -> bool:
    """Is it kept under a name that code of the class reads: alone, or with others in a container."""
    start = code.rfind("\n", 0, place) + 1
    kept = _KEPT.match(code, start)
    while kept is None and start and code[:start].rstrip().endswith(("(", "[")):
        start = code.rfind("\n", 0, start - 1) + 1
        kept = _KEPT.match(code, start)
    if kept is None or not _AROUND.fullmatch(code, kept.end(), place):
        return False
    return _read(kept[1]).search(code) is not None


@cache
def _read(name: str) -> re.Pattern[str]:
    """Code that reads an attribute, other than to fill the list that it is."""
    import re

    return re.compile(rf"self\.{name}(?!\w)(?:[(\[]|\.(?!append|extend|insert))")
