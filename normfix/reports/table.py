"""Rows as text: a table where it fits the width of the terminal, one paragraph for each row where it does not."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from normfix.reports.concise import printable

_GAP = "  "


def table(rows: Sequence[Mapping[str, object]], width: int) -> str:
    """Every column of every row; nothing is cut off. `width` counts characters."""
    if not rows:
        return ""
    texts = [{title: printable(str(value)) for title, value in row.items()} for row in rows]
    titles = [title for title in texts[0] if any(row.get(title) for row in texts)]
    sizes = {title: max(len(title), *(len(row.get(title, "")) for row in texts)) for title in titles}
    if sum(sizes.values()) + len(_GAP) * (len(titles) - 1) > width:
        return "\n".join(_paragraph(row, titles, width) for row in texts)
    lines = [_GAP.join(title.ljust(sizes[title]) for title in titles).rstrip()]
    lines += [_GAP.join(row.get(title, "").ljust(sizes[title]) for title in titles).rstrip() for row in texts]
    return "".join(f"{line}\n" for line in lines)


def _paragraph(row: Mapping[str, str], titles: Sequence[str], width: int) -> str:
    """The first three columns as the head, the others named, in as many lines as they need."""
    head, rest = titles[:3], [title for title in titles[3:] if row.get(title)]
    facts = "; ".join(f"{title} {row[title]}" for title in rest)
    lines = textwrap.wrap(
        facts, width, initial_indent="    ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    return "".join(f"{line}\n" for line in (_GAP.join(row.get(title, "") for title in head), *lines))
