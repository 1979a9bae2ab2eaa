"""`normfix rule`: explain one rule, several, or all of them."""

from __future__ import annotations

import argparse
import sys

from normfix.commands import options
from normfix.engine import Rule
from normfix.errors import UsageError


def add_parser(subparsers: options.Subparsers) -> None:
    parser = subparsers.add_parser("rule", description="Explain rules: what they find, why it matters, what to do.")
    parser.add_argument("rules", nargs="*", metavar="RULE", help="code, beginning of one, or slug; none lists them all")
    parser.add_argument("--all", action="store_true", help="print the pages of all rules")
    options.add_format(parser, (*options.REWRITE_FORMATS, "html"))
    parser.add_argument("-o", "--output", metavar="PATH", help="where the HTML goes: a file .html, or a folder")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from normfix.engine import rules

    if arguments.all and arguments.rules:
        raise UsageError(f"cannot explain `{arguments.rules[0]}` and `--all` rules in one run")
    chosen = _chosen(arguments.rules)
    if arguments.output and arguments.output_format != "html":
        raise UsageError("cannot write rules to a file: `-o` goes with `--output-format html`")
    if arguments.output_format == "html":
        return _site(chosen or list(rules().values()), arguments.output)
    pages = bool(arguments.all or arguments.rules)
    if arguments.output_format == "json":
        import json

        text = json.dumps([_plain(rule) for rule in chosen or rules().values()], indent=2) + "\n"
    elif pages:
        text = _show("\n".join(_page(rule) for rule in chosen or rules().values()))
    else:
        text = "".join(_line(rule) for rule in rules().values())
    sys.stdout.write(text)
    return 0


def _site(chosen: list[Rule], path: str | None) -> int:
    from normfix.reports.html import site

    if path:
        site.write(path, chosen, _page)
    else:
        sys.stdout.write(site.render(chosen, _page))
    return 0


def _chosen(words: list[str]) -> list[Rule]:
    from normfix.engine import rules
    from normfix.selection import reach, require_known

    for word in words:
        require_known(word)
    return [rule for rule in rules().values() if reach(rule, words)]


def _page(rule: Rule) -> str:
    from normfix.pages import page

    try:
        return page(rule)
    except FileNotFoundError as error:
        raise UsageError(f"cannot explain {rule.code}: {error}") from error


def _line(rule: Rule) -> str:
    default = rule.severity if rule.enabled else "off"
    return f"{rule.code}  {rule.slug:<32}  {default!s:<7}  {' '.join(sorted(rule.readers))}\n"


def _plain(rule: Rule) -> dict[str, object]:
    return {
        "code": rule.code,
        "slug": rule.slug,
        "severity": str(rule.severity),
        "enabled": rule.enabled,
        "readers": sorted(rule.readers),
        "page": _page(rule),
    }


def _show(markdown: str) -> str:
    """Rendered where a terminal reads it, as it is in a pipe."""
    from normfix.reports.colors import wanted

    if not wanted(sys.stdout):
        return markdown
    from io import StringIO

    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(file=StringIO(), force_terminal=True, width=None)
    with console.capture() as capture:
        console.print(Markdown(markdown))
    return capture.get()
