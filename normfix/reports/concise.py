"""One line per finding: `path:line:column: warning[NF301] message`."""

from __future__ import annotations

from collections import Counter

from normfix.findings import Abstention, Finding, Report, Safety, Severity, Transform
from normfix.graph import Site
from normfix.reports import Options
from normfix.reports.colors import BOLD, CYAN, SEVERITIES, Painter

_UNPRINTABLE = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def render(report: Report, options: Options) -> str:
    """The findings, a line each, and their number."""
    paint = Painter(options.color)
    lines = [f"{paint(place(one), BOLD)}: {title(one, paint)}\n" for one in report.findings]
    return "".join(lines) + epilogue(report, options)


def title(finding: Finding, paint: Painter) -> str:
    """`warning[NF301] message`."""
    severity = paint(f"{finding.severity}[{finding.code}]", SEVERITIES[finding.severity])
    return f"{severity} {printable(finding.message)}"


def place(finding: Finding) -> str:
    """`path:line:column`, `path:cell 3:line:column` in a notebook, or the path of a module in a model."""
    parts = [finding.path] if finding.path else []
    if finding.cell is not None:
        parts.append(f"cell {finding.cell}")
    if finding.line is not None:
        parts += [str(finding.line), str(finding.column)]
    elif finding.module is not None:
        parts.append(finding.module)
    return printable(":".join(parts))


def epilogue(report: Report, options: Options) -> str:
    """What follows the findings: what was not decided, how often each rule was met, how many there are."""
    paint = Painter(options.color)
    lines = []
    if options.show_undecided:
        lines += [f"{one.where}: undecided[{one.code}] {one.reason}" for one in sorted(report.undecided, key=_line)]
    if options.statistics:
        lines += _statistics(report)
    lines = [*map(printable, lines), paint(summary(report), CYAN)]
    if options.fixes:
        lines += _fixes(report)
    return "".join(f"{line}\n" for line in lines)


def _line(one: Abstention) -> tuple[str, int, int]:
    """Sources in the order of their cells and lines; what has no line stays where it was."""
    path, _, line = one.where.rpartition(":")
    path, _, cell = path.partition(":cell ")
    return (path, int(cell) if cell.isdecimal() else 0, int(line)) if line.isdecimal() else ("", 0, 0)


def summary(report: Report) -> str:
    """`Found 1 error and 2 warnings`."""
    counts = Counter(finding.severity for finding in report.findings)
    parts = [f"{counts[one]} {_PLURALS[one][counts[one] > 1]}" for one in reversed(Severity) if counts[one]]
    if not parts:
        return "Nothing found"
    return "Found " + (f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0])


def _fixes(report: Report) -> list[str]:
    """`1 can be fixed with `--fix`, 2 more with `--unsafe-fixes``; nothing where no finding can."""
    counts = Counter(one.safety for one in report.findings if one.remedy and not isinstance(one.remedy, Transform))
    ways = ((Safety.SAFE, "--fix"), (Safety.UNSAFE, "--unsafe-fixes"))
    parts = [f"{counts[safety]} {{}} with `{option}`" for safety, option in ways if counts[safety]]
    return [", ".join(parts).format("can be fixed", "more")] if parts else []


_PLURALS = {
    Severity.ERROR: ("error", "errors"),
    Severity.WARNING: ("warning", "warnings"),
    Severity.INFO: ("info", "infos"),
}


def where(site: Site) -> str:
    """`path:line:column` of a site, or the module that it is."""
    if site.origin is None:
        return printable(site.module or "")
    cell = f"cell {site.origin.cell}:" if site.origin.cell else ""
    return printable(f"{site.origin.path}:{cell}{site.origin.line}:{site.origin.column}")


def printable(text: str) -> str:
    """The text without control characters, which could move the cursor of a terminal or fake other lines."""
    return text.translate(_UNPRINTABLE)


def _statistics(report: Report) -> list[str]:
    counts = Counter((finding.code, finding.slug) for finding in report.findings)
    width = len(str(max(counts.values(), default=0)))
    lines = [f"{count:>{width}}  {code}  {slug}" for (code, slug), count in counts.most_common()]
    if report.norms:
        lines.append(f"what feeds it is known for {report.decided} of {report.norms} norm layers")
    return lines
