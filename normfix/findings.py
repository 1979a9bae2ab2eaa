"""Findings, remedies and severities: what a check says, and what a report shows."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, IntEnum

from normfix.graph import Origin, Site
from normfix.records import dataclass, field


class Severity(IntEnum):
    """How bad it is. `--fail-on` compares these."""

    INFO = 1
    WARNING = 2
    ERROR = 3

    def __str__(self) -> str:
        return self.name.lower()


class Safety(str, Enum):
    """What applying a remedy may cost: nothing, a change of behaviour, or it is only shown."""

    SAFE = "safe"
    UNSAFE = "unsafe"
    DISPLAY = "display"


@dataclass(frozen=True, slots=True)
class SetArgument:
    """Give the call at `site` the argument `name=value`; `value` is Python source."""

    site: Site
    name: str
    value: str
    position: int | None = None
    """Where it stands among the positional arguments already; None for a keyword, or for one that is not there yet."""


@dataclass(frozen=True, slots=True)
class NameArgument:
    """Turn the positional argument at `position` into the keyword `name`."""

    site: Site
    position: int
    name: str
    later: tuple[str, ...] = ()
    """Names for the positional arguments after it: none may follow a keyword."""


@dataclass(frozen=True, slots=True)
class RemoveArgument:
    """Drop the argument `name`."""

    site: Site
    name: str


@dataclass(frozen=True, slots=True)
class CompleteCall:
    """Turn the expression `model.eval` into the call `model.eval()`."""

    site: Site


@dataclass(frozen=True, slots=True)
class InsertStatement:
    """Put the statement `text` on a line of its own, just before (or after) the statement that holds `site`."""

    site: Site
    text: str
    after: bool = False


@dataclass(frozen=True, slots=True)
class RemoveStatement:
    """Drop the statement that holds `site`."""

    site: Site


@dataclass(frozen=True, slots=True)
class ReplaceExpression:
    """Put `text` in place of the expression at `site`."""

    site: Site
    text: str


@dataclass(frozen=True, slots=True)
class WrapExpression:
    """Put `before` and `after` around the expression at `site`, which stays as written: `nn.ModuleList(` and `)`."""

    site: Site
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ReplaceCallee:
    """Call the class or function `name` of the same module in place of the one that the call at `site` names."""

    site: Site
    name: str


@dataclass(frozen=True, slots=True)
class TransposeAround:
    """`norm(x)` at `site` becomes `norm(x.transpose(1, 2)).transpose(1, 2)`, for these axes."""

    site: Site
    axes: tuple[int, int]


@dataclass(frozen=True, slots=True)
class AddParameter:
    """Give the function whose `def` is at `site` one more parameter; `text` is Python source: `mode=True`."""

    site: Site
    text: str


@dataclass(frozen=True, slots=True)
class ReplaceComment:
    """Put `text` in place of the comment, or the part of one, at `site`; empty to drop it."""

    site: Site
    text: str


@dataclass(frozen=True, slots=True)
class Transform:
    """Run the transform `name` ("swap", "drop_bias", "fold") on the live model."""

    site: Site
    name: str


@dataclass(frozen=True, slots=True)
class Together:
    """Several remedies of one finding, carried out all or none."""

    site: Site
    parts: tuple[Remedy, ...]


Remedy = (
    SetArgument
    | NameArgument
    | RemoveArgument
    | CompleteCall
    | InsertStatement
    | RemoveStatement
    | ReplaceExpression
    | WrapExpression
    | ReplaceCallee
    | TransposeAround
    | AddParameter
    | ReplaceComment
    | Transform
    | Together
)


@dataclass(frozen=True, slots=True)
class Problem:
    """What a check yields: one misuse at one site. The engine makes a `Finding` of it."""

    site: Site
    message: str
    """Names the layer, the fact and the reason in one line; no full stop."""
    help: str = ""
    """What to do, in one line."""
    severity: Severity | None = None
    """None takes the default of the rule."""
    remedy: Remedy | None = None
    safety: Safety = Safety.DISPLAY
    related: Sequence[tuple[str, Site]] = ()
    """Other places that belong to it, each with a note."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One misuse, as reports and the public API show it. Lines and columns count from 1, the end is exclusive."""

    code: str
    slug: str
    severity: Severity
    message: str
    path: str
    line: int | None = None
    column: int | None = None
    end_line: int | None = None
    end_column: int | None = None
    cell: int | None = None
    module: str | None = None
    help: str = ""
    remedy: Remedy | None = None
    safety: Safety = Safety.DISPLAY
    related: Sequence[tuple[str, Site]] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON; the remedy appears under the name of its class."""
        from dataclasses import asdict

        plain = asdict(self)
        plain["severity"] = str(self.severity)
        plain["safety"] = self.safety.value
        plain["related"] = [{"note": note, **asdict(site)} for note, site in self.related]
        if self.remedy is not None:
            plain["remedy"] = {"kind": type(self.remedy).__name__, **asdict(self.remedy)}
        return plain


@dataclass(frozen=True, slots=True)
class Abstention:
    """A check that could not decide: which rule, where, and which fact was missing."""

    code: str
    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that could not be read at all: exit code 2."""

    path: str
    reason: str


@dataclass(slots=True)
class Report:
    """The answer of `lint` and `check`."""

    findings: list[Finding] = field(default_factory=list)
    undecided: list[Abstention] = field(default_factory=list)
    errors: list[Failure] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    """Texts that no file holds (standard input, an editor's buffer), by path: for code frames."""
    notes: list[str] = field(default_factory=list)
    """Sentences about the run, beside what it found."""
    norms: int = 0
    """Norm layers that were seen in source."""
    decided: int = 0
    """Those of them of which it is known what feeds them."""

    def _repr_html_(self) -> str | None:
        from importlib import import_module

        # By name: what a notebook asks for is no dependency of the facts.
        shown: str | None = import_module("normfix.reports.html.notebook").report(self)
        return shown

    def __repr__(self) -> str:
        parts = f"{len(self.findings)} findings, {len(self.undecided)} undecided, {len(self.errors)} errors"
        return f"<Report: {parts}>"

    def extend(self, other: Report) -> None:
        self.findings += other.findings
        self.undecided += other.undecided
        self.errors += other.errors
        self.sources |= other.sources
        self.notes += other.notes
        self.norms += other.norms
        self.decided += other.decided


def place(site: Site, path: str) -> tuple[str, Origin | None]:
    """The path that a finding at this site is reported under, and its span."""
    return (site.origin.path if site.origin else path), site.origin
