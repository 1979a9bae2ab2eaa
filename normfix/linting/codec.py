"""Reports <-> plain values for JSON. What comes back is checked: a cache entry may be damaged, or not ours."""

from __future__ import annotations

from enum import Enum

from normfix import findings, graph
from normfix.findings import Abstention, Failure, Finding, Report, Safety, Severity

_RECORDS = {
    name: value
    for module in (findings, graph)
    for name, value in vars(module).items()
    if isinstance(value, type) and hasattr(value, "__match_args__") and value is not Report
}
_ENUMS = {"severity": Severity, "safety": Safety}


def encode(report: Report) -> dict[str, object]:
    """The report as JSON can hold it; the texts of its sources stay out."""
    return {
        "findings": _plain(report.findings),
        "undecided": [[one.code, one.where, one.reason] for one in report.undecided],
        "errors": [[one.path, one.reason] for one in report.errors],
        "norms": [report.norms, report.decided],
    }


def decode(plain: object) -> Report:
    """The report again. Raises ValueError for anything that `encode` did not make."""
    try:
        assert isinstance(plain, dict)
        return Report(
            [_finding(one) for one in plain["findings"]],
            [Abstention(*map(_text, one)) for one in plain["undecided"]],
            [Failure(*map(_text, one)) for one in plain["errors"]],
            norms=int(plain["norms"][0]),
            decided=int(plain["norms"][1]),
        )
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no report: {error!r}") from error


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    kind = type(value).__name__
    if kind in _RECORDS:
        return {"": kind, **{name: _plain(getattr(value, name)) for name in _RECORDS[kind].__match_args__}}
    return value


def _value(plain: object, name: str = "") -> object:
    if isinstance(plain, list):
        return tuple(_value(item) for item in plain)
    if isinstance(plain, dict):
        return _RECORDS[plain[""]](**{key: _value(one, key) for key, one in plain.items() if key})
    return _ENUMS[name](plain) if name in _ENUMS and plain is not None else plain


def _finding(plain: object) -> Finding:
    finding = _value(plain)
    assert isinstance(finding, Finding)
    for text in (finding.code, finding.slug, finding.message, finding.path, finding.help):
        _text(text)
    for number in (finding.line, finding.column, finding.end_line, finding.end_column):
        assert number is None or isinstance(number, int)
    return finding


def _text(value: object) -> str:
    assert isinstance(value, str)
    return value
