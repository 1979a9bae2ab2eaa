"""Templates and the files beside them, and the content security policy that names each of them by its hash."""

from __future__ import annotations

import base64
import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normfix.errors import UsageError

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).parent
_MISSING = 'cannot make HTML: jinja2 is missing; pip install "normfix[html]"'
_UNSEEN = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {
    code: f"\\u{code:04x}" for code in (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF)
}
"""Control characters, line separators, and those that change the direction of writing."""


def fill(template: str, **context: Any) -> str:
    """The text of a template in `templates/`, with every value escaped. Raises UsageError where jinja2 is missing."""
    return _environment().get_template(template).render(**context)


@cache
def _environment() -> Environment:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise UsageError(_MISSING) from error
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=visible,
    )
    environment.filters["ticks"] = _ticks
    return environment


def visible(value: object) -> object:
    """A text with what has no shape, or turns the writing round, spelt out: `\\x00`, `\\u202e`."""
    return value.translate(_UNSEEN) if type(value) is str else value


def _ticks(text: str) -> Any:
    """A message with what stands in backticks as code; everything in it is escaped."""
    from markupsafe import Markup, escape

    text = text.translate(_UNSEEN)
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts)
    )


def is_available() -> bool:
    """Is there a template engine: notebooks fall back to plain text where there is none."""
    from importlib.util import find_spec

    return find_spec("jinja2") is not None


@cache
def static(name: str) -> str:
    """A file of `static/`, to be inlined as it is."""
    return (_HERE / "static" / name).read_bytes().decode()  # read_text would turn every \r into \n


def trusted(text: str) -> Any:
    """A text that the templates put in as it is: SVG, style sheets and scripts of normfix's own making. Raises
    UsageError where jinja2 is missing, which brings what marks it."""
    try:
        from markupsafe import Markup
    except ImportError as error:
        raise UsageError(_MISSING) from error
    return Markup(text)


@cache
def packed(name: str) -> str:
    """A file of `static/`, compressed, in base64: the browser unpacks it when it is needed."""
    return base64.b64encode(gzip.compress(static(name).encode(), mtime=0)).decode()


def policy(scripts: tuple[str, ...], style: str) -> str:
    """Nothing is loaded; these scripts run and no others, names and messages least of all."""
    sources = [_digest(text) for text in scripts] or ["'none'"]
    if len(scripts) > 1:  # Graphviz is WebAssembly, which this word allows; it does not allow eval
        sources.append("'wasm-unsafe-eval'")
    return (
        f"default-src 'none'; script-src {' '.join(sources)}; style-src {_digest(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
