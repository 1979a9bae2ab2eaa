"""The rule pages as a site: one HTML file, or a folder with a page for each rule."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from normfix.engine import Rule
from normfix.errors import UsageError
from normfix.reports.html import save
from normfix.reports.html.environment import fill, policy, static, trusted

Page = Callable[[Rule], str]
"""The Markdown of a rule's page, as `normfix.pages.page` gives it."""
_GROUPS = {
    "NF1": "Arguments",
    "NF2": "Shapes and axes",
    "NF3": "Redundancy",
    "NF4": "Train and eval mode",
    "NF5": "Batch statistics while training",
    "NF6": "Distributed",
    "NF7": "Numbers and stored statistics",
    "NF8": "Code",
    "NF9": "The run itself",
}


@dataclass(frozen=True, slots=True)
class _Entry:
    rule: Rule
    finds: Any
    """The first sentence of the page as HTML: what the rule finds."""
    body: Any
    """The page as HTML, without its heading."""

    @property
    def file(self) -> str:
        return f"{self.rule.code}-{self.rule.slug}.html"


def render(rules: Sequence[Rule], page: Page) -> str:
    """All pages in one file. Raises UsageError where jinja2 or markdown-it-py are missing."""
    return _fill(_entries(rules, page), None, whole=True)


def write(path: str | os.PathLike[str], rules: Sequence[Rule], page: Page) -> None:
    """Write one file where the path ends in .html, else a folder: `index.html` and a file for each rule."""
    name = os.fspath(path)
    if name.lower().endswith((".html", ".htm")):
        save(name, render(rules, page))
        return
    entries = _entries(rules, page)
    try:
        os.makedirs(name, exist_ok=True)  # noqa: PTH103
    except OSError as error:
        raise UsageError(f"cannot make the folder `{name}`: {error.strerror or error}") from error
    save(os.path.join(name, "index.html"), _fill(entries, None, whole=False))  # noqa: PTH118
    for entry in entries:
        save(os.path.join(name, entry.file), _fill(entries, entry, whole=False))  # noqa: PTH118


def _fill(entries: Sequence[_Entry], shown: _Entry | None, *, whole: bool) -> str:
    from normfix import __version__

    style, script = static("site.css"), static("site.js")
    groups: dict[str, list[_Entry]] = {}
    for entry in entries:
        groups.setdefault(_GROUPS.get(entry.rule.code[:3], "Others"), []).append(entry)
    return fill(
        "site.html.j2",
        version=__version__,
        groups=groups,
        entries=entries if whole else [shown] if shown else [],
        shown=shown,
        whole=whole,
        policy=policy((script,), style),
        style=trusted(style),
        script=trusted(script),
    )


def _entries(rules: Sequence[Rule], page: Page) -> list[_Entry]:
    try:
        from markdown_it import MarkdownIt
    except ImportError as error:
        raise UsageError('cannot make the site: markdown-it-py is missing; pip install "normfix[html]"') from error
    # HTML in a page stays text, and so does a link that is no address.
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    entries = []
    for rule in rules:
        body = _body(page(rule))
        entries.append(_Entry(rule, trusted(markdown.renderInline(_finds(body))), trusted(markdown.render(body))))
    return entries


def _body(text: str) -> str:
    """The page without its first heading, which the template writes; the others stand one level lower."""
    lines = text.splitlines()
    start = 1 if lines and lines[0].startswith("# ") else 0
    return "\n".join(lines[start:]).strip()


def _finds(body: str) -> str:
    """`Finds a norm that is built and never called.` as `A norm that is built and never called`."""
    sentence = " ".join(body.partition("\n\n")[0].split()).partition(". ")[0]
    found = sentence.removeprefix("Finds ").removesuffix(".")
    return found[:1].upper() + found[1:]
