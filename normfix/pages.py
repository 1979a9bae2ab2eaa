"""The page of each rule: in the wheel beside this file, in a checkout in `rules/`."""

from __future__ import annotations

import os

from normfix.engine import Rule

_HERE = os.path.dirname(os.path.abspath(__file__))


def page(rule: Rule) -> str:
    """The Markdown of the rule's page. Raises FileNotFoundError where the installation lacks it."""
    name = f"{rule.code}-{rule.slug}.md"
    for folder in (os.path.join(_HERE, "rules"), os.path.join(os.path.dirname(_HERE), "rules")):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                return file.read()
    raise FileNotFoundError(f"this installation has no page `{name}`")
