"""Sources of whose norms no rule has anything to say, told from their text: most models of language.

All of their norms are layer norms whose width and eps a configuration gives, that are used, and behind no convolution.
`interpreter/leaving.py` tells the same of classes that were read.
"""

from __future__ import annotations

from normfix import norms
from normfix.lazy import pattern
from normfix.readers.naming import names_layer_norms_only, places_of, without_probes

_GIVEN = r"(?:self\.)?config\.[\w.]+"
_EPS = rf"eps=(?:{_GIVEN}|(\d+(?:\.\d*)?(?:e-?\d+)?))"
_PLAIN = pattern(
    rf"[ \t]+self\.(\w+) = (?:torch\.)?(?:nn\.)?LayerNorm\(\s*({_GIVEN}|(?:self\.)?[a-z]\w*)"
    rf"(?:,\s*(?:{_EPS}|(?:bias|elementwise_affine)=(?:{_GIVEN}|True|False)))*,?\s*\)[ \t]*[\r\n#]"
)
_IMPORTED = pattern(r"from torch\.nn import [\w, ]+[\r\n]")
_MATTERING = (
    "onv1d",
    "onv2d",
    "onv3d",
    "onvTranspose",
    "spectral_norm",
    "weight_norm",
    ".eps =",
    "setattr(",
    "Config(",
)
"""What may feed a layer norm so that a rule has something to say, give it another eps, or make a width known."""

_SUMS = pattern(r"(?:Linear|Embedding)\((?:[^()]|\([^()]*\))*?[-+*/]")
"""A width that is written as a sum or a product: it may surely differ from that of a norm behind it."""


def only_plain_norms(text: str) -> bool:
    """Are the norms that this source names all of them layer norms that no rule can find fault with."""
    if any(word in text for word in _MATTERING) or _SUMS.search(text):
        return False
    told = without_probes(text)
    return names_layer_norms_only(told) and all(_is_plain(told, place) for place in places_of("LayerNorm", told))


def _is_plain(text: str, place: int) -> bool:
    """Is it imported here, or kept under a name that is read, its width and eps given by a configuration."""
    line = text.rfind("\n", 0, place) + 1
    if text.startswith("self.", place - len("self.")) or _IMPORTED.match(text, line):
        return True
    found = _PLAIN.match(text, line)
    if found is None or not norms.HALF_EPS <= float(found[3] or norms.HALF_EPS) <= norms.UNUSUAL_EPS:
        return False
    start, end = max(text.rfind("\nclass ", 0, place), 0), text.find("\nclass ", place)
    owner = text[start : end if end >= 0 else len(text)]
    within = owner if found[2].startswith("self.") else text[text.rfind(" def ", start, place) : place]
    return _is_read(owner, found[1]) and ("config." in found[2] or _is_given(within, found[2]))


def _is_read(owner: str, name: str) -> bool:
    """Does code of a class call this attribute."""
    place = owner.find(f"self.{name}(")
    while place >= 0:
        if "#" not in owner[owner.rfind("\n", 0, place) + 1 : place]:
            return True
        place = owner.find(f"self.{name}(", place + 1)
    return False


def _is_given(code: str, width: str) -> bool:
    """Does a configuration give this name, wherever the code sets it."""
    values = [part.lstrip() for part in code.split(f" {width} = ")[1:]]
    return bool(values) and all(one.startswith(("config.", "self.config.")) for one in values)
