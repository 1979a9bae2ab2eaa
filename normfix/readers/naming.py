"""Which code can build a norm, told from its text: everything else need not be followed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache, lru_cache

from normfix.lazy import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re

_CLASSES = "BatchNorm InstanceNorm GroupNorm LayerNorm RMSNorm RmsNorm SwitchNorm LocalResponseNorm CrossMapLRN".split()
_FUNCTIONS = "batch_norm instance_norm group_norm layer_norm rms_norm local_response_norm".split()
_CANCELLING = ("BatchNorm", "InstanceNorm", "GroupNorm", "batch_norm", "instance_norm", "group_norm")
_PRODUCERS = (pattern(r"Linear\b"), pattern(r"Conv(?:Transpose)?[123]d\b"))
_OTHERS = ("nn.BatchNorm2d(", "nn.BatchNorm1d(", "nn.GroupNorm(")
_PROBE = pattern(r"isinstance\([^()]*(?:\([^()]*\)[^()]*)?\)")
"""A question about a norm, which builds none."""
_LOOKED_FOR = pattern(r"[\"']\s+(?:not\s+)?in\b")
_LOOKING = (".find(", ".startswith(", ".endswith(", ".count(")
_PART = pattern(r"Norm(?<=[\"'}]Norm)")
"""A part of a name that is put together: `f"{kind}Norm2d"`."""
_NORMS = (pattern("norm(?!al)"), pattern("Norm(?!al)"), pattern("NORM(?!AL)"))
"""In "BatchNorm2d" and "norm_layer", but not in "normalize" and "kaiming_normal_"."""
_SHORT = (pattern(r"bn(?<![A-Za-z]bn)(?![a-z])"), pattern("BN(?![a-z])"), pattern("Bn(?![a-z])"))
"""In "make_bn", "self.bn1", "ConvBNReLU" and "ConvBn"."""


def names_norm(text: str) -> bool:
    """Does this code name a norm of a library, or may it put such a name together.

    In a question, a line of comment, a text that is looked for or that a decorator is given, it builds none.
    """
    stems = [*(_CLASSES if "Norm" in text or "LRN" in text else ()), *(_FUNCTIONS if "_norm" in text else ())]
    told = ""
    for stem in stems:
        if stem in text and any(True for _ in places_of(stem, text)):
            told = told or without_probes(text)
            if told is text or any(True for _ in places_of(stem, told)):
                return True
    return puts_name_together(text)


def names_layer_norms_only(text: str) -> bool:
    """Are the norms that this code names all of the class LayerNorm."""
    others = (stem for stem in (*_CLASSES, *_FUNCTIONS) if stem in text and stem != "LayerNorm")
    return not any(True for stem in others for _ in places_of(stem, text)) and not puts_name_together(text)


def calls_others(text: str) -> bool:
    """Does this code construct norms other than layer norms, as far as a glance tells: most files of such do."""
    return any(name in text for name in _OTHERS)


def puts_name_together(text: str) -> bool:
    """Is there a part of the name of a norm in this code."""
    return "Norm" in text and _PART.search(text) is not None


def places_of(stem: str, text: str) -> Iterator[int]:
    """Where names of this stem stand, other than in lines of comments and as a text that is asked for or registered."""
    for found in _whole(stem).finditer(text):
        start, end = found.span()
        line = text[text.rfind("\n", 0, start) + 1 : start].lstrip()
        quoted = line.endswith(("'", '"'))
        if not line.startswith("#") and not (quoted and (line.startswith("@") or _is_asked(text, start, end))):
            yield start


def _is_asked(text: str, start: int, end: int) -> bool:
    """Is a word in quotes looked for in a name: `"BatchNorm" in name`, `name.find("BatchNorm")`."""
    return _LOOKED_FOR.match(text, end) is not None or text.endswith(_LOOKING, 0, start - 1)


def without_probes(text: str) -> str:
    """The text without its questions about classes."""
    return _PROBE.sub("", text) if "isinstance" in text else text


def without_comments(lines: Iterable[str]) -> list[str]:
    """The lines of a text; those that hold a comment only are empty."""
    return ["" if "#" in line and line.lstrip().startswith("#") else line for line in lines]


def says_norm(text: str) -> bool:
    """Is there anything about norms in this code, names of its own included."""
    if any(one.search(text) for one in _NORMS):
        return True
    return any(one.search(text) for one in _SHORT)


def depends_on_other_uses(text: str) -> bool:
    """May a norm named here be judged by other uses of the same code: it cancels a bias, or has twins that differ."""
    return _names_any((*_CANCELLING, "RMSNorm"), text) or puts_name_together(text)


def names_producer(text: str) -> bool:
    """Does this code name a layer that may feed a norm, other than in a question, or a part of such a name."""
    if "Conv" not in text and "Linear" not in text:
        return False
    told = _PROBE.sub("", text)
    return "Conv" in told or "Linear" in told


def may_matter_beside(text: str) -> bool:
    """Can a norm in another file tell something of this one: of the biases, or the weights, that it takes away.

    What else there is to say of a norm is said where it is constructed.
    """
    return any(one.search(text) for one in _PRODUCERS)


def matters_beside(text: str, other: str) -> bool:
    """Does a norm in that other file."""
    return _names_cancelling(other) or (_reparametrizes(text) and names_norm(other))


@lru_cache(maxsize=128)
def _names_cancelling(text: str) -> bool:
    """Asked again by each file of a folder that imports the same ones."""
    if not any(stem in text for stem in _CANCELLING):
        return False
    return _names_any(_CANCELLING, _PROBE.sub("", "\n".join(without_comments(text.split("\n")))))


def _names_any(stems: Iterable[str], text: str) -> bool:
    return any(stem in text and _whole(stem).search(text) is not None for stem in stems)


@lru_cache(maxsize=2)
def _reparametrizes(text: str) -> bool:
    """Asked again for each name that one file imports."""
    return "weight_norm" in text or "spectral_norm" in text


@cache
def _whole(stem: str) -> re.Pattern[str]:
    """The names made of a stem, as whole words: not `MyLayerNorm`, and not the attribute `self.layer_norm`."""
    import re

    # The stem stands first: Python looks for it fast, and only then at what is around it.
    if stem.islower():
        return re.compile(rf"{stem}(?<!\w{stem})(?<!self\.{stem})(?!\w)")
    alone = "|".join([rf"(?<!\w{stem})", *(rf"(?<=\b{prefix}{stem})" for prefix in ("Lazy", "Sync", "Frozen"))])
    return re.compile(rf"{stem}(?:{alone})(?:[123]d?|Act|Fp32)*(?!\w)")
