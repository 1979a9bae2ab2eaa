"""HTML: one self-contained file with the findings, a picture of the network, its norms, and what a rewrite did.

The page loads nothing, stores nothing, and runs only the scripts whose hashes its content security policy names.
It is the same, byte for byte, for the same document.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from normfix.files import put
from normfix.findings import Report
from normfix.graph import LayerGraph
from normfix.reports.plots import Outputs
from normfix.rewrites import Proof, Rewrite

__all__ = ["Document", "Outputs", "render", "write"]


@dataclass(frozen=True, slots=True)
class Document:
    """What a page shows. Whatever is None or empty is left out."""

    title: str
    report: Report | None = None
    graph: LayerGraph | None = None
    """The network; the one before, where there is a rewrite."""
    after: LayerGraph | None = None
    """The rewritten network, shown beside the old one."""
    norms: Sequence[Mapping[str, object]] = ()
    """Rows of the table of norms, by column title; "path" is the module path. Made from `graph` if there are none."""
    rewrite: Rewrite | None = None
    proof: Proof | None = None
    """A proof without a rewrite; else the one of the rewrite is shown."""
    outputs: Sequence[Outputs] = ()
    """Samples of what layers compute before and after a rewrite."""


def render(document: Document) -> str:
    """The page. Raises UsageError where jinja2 or leather are missing."""
    from normfix.reports.html import page

    return page.render(document)


def write(path: str | os.PathLike[str], document: Document) -> None:
    """Write the page to a file, which is either the old one or the whole new one. Raises UsageError."""
    save(path, render(document))


def save(path: str | os.PathLike[str], text: str) -> None:
    """Write a text to a file, in one step. Raises UsageError."""
    put(os.fspath(path), text.encode("utf-8", errors="backslashreplace"))
