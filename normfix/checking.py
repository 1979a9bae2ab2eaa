"""Live checks: a model, and what is planned with it -> its report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from normfix.engine import Check, Facts
from normfix.engine import run as run_checks
from normfix.errors import UsageError
from normfix.findings import Abstention, Report
from normfix.selection import selected

if TYPE_CHECKING:
    from torch import nn

    from normfix.readers.model import Capture

PURPOSES = ("training", "inference")


def check(
    model: nn.Module,
    example_inputs: object = None,
    example_kwargs: Mapping[str, Any] | None = None,
    *,
    purpose: str | None = None,
    batch_size: int | None = None,
    world_size: int | None = None,
    select: Sequence[str] | None = None,
    extend_select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    name: str = "",
) -> Report:
    """Find misused norms in a live model, which is left as it was.

    `example_inputs` (a tensor, a tuple, or a dict of keyword arguments) let shapes and edges be seen. `purpose` is
    "training" or "inference"; `batch_size` (per device) and `world_size` are those of the planned training run.
    `name` is what the report calls the model. Raises UsageError for a model that cannot be read at all.
    """
    _require_plan(purpose, batch_size, world_size)
    checks = selected(select, extend_select, ignore)
    from normfix.readers.model import capture

    captured = capture(model, example_inputs, example_kwargs)
    facts = Facts(
        "model",
        name or captured.graph.name,
        purpose=purpose,
        batch_size=batch_size,
        world_size=world_size,
    )
    report = run_checks(facts, checks, [captured.graph])
    report.undecided += _unseen(captured, checks, facts)
    return report


def _require_plan(purpose: str | None, batch_size: int | None, world_size: int | None) -> None:
    if purpose is not None and purpose not in PURPOSES:
        raise UsageError(f"cannot check for the purpose `{purpose}`: expected {' or '.join(PURPOSES)}")
    for name, value in (("batch size", batch_size), ("world size", world_size)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise UsageError(f"cannot check for the {name} `{value}`: expected a whole number of at least 1")


def _unseen(captured: Capture, checks: Iterable[Check], facts: Facts) -> list[Abstention]:
    """Checks of calls look at nothing where no call is known: each of them says so."""
    if captured.graph.open is None:
        return []
    blind = {check.rule.code for check in checks if check.subject == "call" and facts.reader in check.rule.readers}
    return [Abstention(code, facts.path, captured.graph.open.reason) for code in sorted(blind)]
