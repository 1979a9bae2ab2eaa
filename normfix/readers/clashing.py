"""Which layers before a layer norm of unknown width a rule may have something to say of, by how widths are written.

A convolution whose channels are written as that width stand on another axis; another layer whose width is written with
the same names and yet otherwise surely differs: `2 * width` is told apart from `width`, not from `size`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from normfix.lazy import pattern

_NAME = pattern(r"[A-Za-z_][\w.]*")
_MAKERS = tuple(
    pattern(rf"{stem}(?:(?<!\w{stem})|(?<=\bLazy{stem}))(?:[123]d)?(?!\w)[ \t]*(\()?")
    for stem in ("Linear", "Embedding", "Conv", "ConvTranspose")
)
_SIZE = pattern(r"(?:out_features|embedding_dim|out_channels)[ \t]*=[ \t]*")


def may_clash(made: str, widths: Collection[str], convolves: bool) -> bool:
    """Is there a rule about a layer whose width is written like this and a layer norm behind it, of one of these."""
    if convolves:
        return _written(made) in map(_written, widths)
    return any(_names(made) == _names(one) and _written(made) != _written(one) for one in widths)


def clashes(code: str, widths: Collection[str]) -> bool:
    """Does bare code make such a layer, as far as can be told."""
    return any(made is None or may_clash(made, widths, convolves) for convolves, made in _makers(code))


def hands_on_makers(code: str) -> bool:
    """Does bare code without imports give the class of such a layer another name, or hand it on."""
    from normfix.readers.bare_code import in_signature

    return any(not in_signature(code, one.start()) for kind in _MAKERS for one in kind.finditer(code) if not one[1])


def _makers(code: str) -> Iterator[tuple[bool, str | None]]:
    """The layers that are constructed here: are they convolutions, and how their width is written; None if untold."""
    from normfix.readers.bare_code import arguments

    for one in (one for kind in _MAKERS for one in kind.finditer(code) if one[1]):
        given = arguments(code, one.end() - 1)[0]
        sizes = [text[found.end() :] for text in given if (found := _SIZE.match(text))]
        by_place = [text for text in given[:2] if "=" not in text]
        lazy = code.endswith("Lazy", 0, one.start())
        told = sizes or by_place[0 if lazy else 1 :]
        starred = any(text.startswith("*") for text in given)
        yield one[0].startswith("Conv"), told[0] if told and not starred else None


def _written(text: str) -> str:
    return "".join(text.split())


def _names(text: str) -> set[str]:
    return set(_NAME.findall(text))
