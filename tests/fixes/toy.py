"""A linter of one rule of its own, so that fixes are tested apart from the checks."""

import ast
from collections.abc import Callable

from normfix.findings import Finding, Remedy, Report, Safety, SetArgument, Severity
from normfix.graph import Site
from normfix.readers.scripts import read

RemedyOf = Callable[[Site], Remedy]


def set_bias(site: Site) -> Remedy:
    return SetArgument(site, "bias", "False")


def linter(
    remedy_of: RemedyOf = set_bias, safety: Safety = Safety.SAFE, misuse: Callable[[ast.Call], bool] | None = None
) -> Callable[[str, str], Report]:
    """Finds calls of `conv` without `bias`, or what `misuse` says."""

    def lint(text: str, path: str) -> Report:
        script = read(text, path)
        calls = [node for node in script.of_type(ast.Call) if (misuse or _without_bias)(node)]
        return Report([_finding(script.site(call), path, remedy_of(script.site(call)), safety) for call in calls])

    return lint


def _without_bias(call: ast.Call) -> bool:
    return ast.unparse(call.func) == "conv" and all(keyword.arg != "bias" for keyword in call.keywords)


def _finding(site: Site, path: str, remedy: Remedy, safety: Safety) -> Finding:
    assert site.origin is not None
    origin = site.origin
    return Finding(
        "NF999", "toy", Severity.WARNING, "a bias", path, origin.line, origin.column, remedy=remedy, safety=safety
    )
