"""Live checks and artefacts: a model or a file, and what is planned with it -> its report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from normfix.engine import Check, Facts
from normfix.engine import run as run_checks
from normfix.errors import UsageError
from normfix.findings import Abstention, Failure, Report, Severity
from normfix.records import replace
from normfix.selection import selected

if TYPE_CHECKING:
    from torch import nn

    from normfix.graph import LayerGraph
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
    options: Mapping[str, object] | None = None,
    name: str = "",
) -> Report:
    """Find misused norms in a live model, which is left as it was.

    `example_inputs` (a tensor, a tuple, or a dict of keyword arguments) let shapes and edges be seen. `purpose` is
    "training" or "inference"; `batch_size` (per device) and `world_size` are those of the planned training run.
    `options` holds settings of single rules, by slug; `name` is what the report calls the model. Raises UsageError for
    a model that cannot be read at all; inputs that its forward pass does not take are an error of the report.
    """
    checks = selected(select, extend_select, ignore)
    facts = plan("model", name, purpose, batch_size, world_size, options)
    from normfix.readers.model import capture

    return check_captured(capture(model, example_inputs, example_kwargs), facts, checks)


def check_captured(captured: Capture, facts: Facts, checks: Sequence[Check]) -> Report:
    """`check` for a model that was captured already. Raises UsageError for one whose layers cannot be seen."""
    require_python(captured)
    facts = replace(facts, path=facts.path or captured.graph.name)
    report = check_graphs([captured.graph], facts, checks)
    if captured.broken and not any(finding.severity is Severity.ERROR for finding in report.findings):
        # An error among the findings tells better why the forward pass raises.
        report.errors.append(Failure(facts.path, f"the forward pass raises with these inputs: {captured.broken}"))
    return report


def check_file(
    path: str,
    shapes: Sequence[Sequence[int]] = (),
    *,
    purpose: str | None = None,
    select: Sequence[str] | None = None,
    extend_select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    options: Mapping[str, object] | None = None,
) -> Report:
    """Find misused norms in an ONNX file, a saved program (.pt2) or a checkpoint, by its suffix.

    `shapes` stands for the inputs of an ONNX file that leaves sizes open. Nothing in the file is executed. Raises
    UsageError for a file that is missing, cut off, of no known kind, or not what its suffix says.
    """
    from normfix.readers.target import reader_of

    checks = selected(select, extend_select, ignore)
    facts = plan(reader_of(path), path, purpose, options=options)
    return check_graphs(file_graphs(path, shapes), facts, checks)


def file_graphs(path: str, shapes: Sequence[Sequence[int]] = ()) -> list[LayerGraph]:
    """The networks that a file holds. Raises UsageError as `check_file` does."""
    from normfix.readers.target import reader_of

    reader = reader_of(path)
    if reader == "onnx":
        from normfix.readers import onnx_file

        return [onnx_file.read(path, shapes)]
    if shapes:
        raise UsageError(f"cannot check `{path}` with example inputs: only a model or an ONNX file takes them")
    if reader == "pt2":
        from normfix.readers import program

        return [program.read(path)]
    if reader == "state":
        from normfix.readers import checkpoint

        return checkpoint.read(path)
    raise UsageError(f"cannot check `{path}` as a file: load the model and pass it to `normfix.check`")


def require_python(captured: Capture) -> None:
    """Raises UsageError for a model whose code is no longer Python."""
    import torch

    if isinstance(captured.model, torch.jit.ScriptModule):
        kind = type(captured.model).__name__
        raise UsageError(f"cannot check `{kind}`: a TorchScript module hides its layers; pass the model it was made of")


def check_graphs(graphs: Sequence[LayerGraph], facts: Facts, checks: Sequence[Check]) -> Report:
    """The findings in networks that were read already."""
    report = run_checks(facts, checks, graphs)
    for graph in graphs:
        report.undecided += _unseen(graph, checks, facts)
    return report


def plan(
    reader: str,
    path: str,
    purpose: str | None = None,
    batch_size: int | None = None,
    world_size: int | None = None,
    options: Mapping[str, object] | None = None,
) -> Facts:
    """What checks may know beside the network. Raises UsageError for a plan that makes no sense."""
    if purpose is not None and purpose not in PURPOSES:
        raise UsageError(f"cannot check for the purpose `{purpose}`: expected {' or '.join(PURPOSES)}")
    for name, value in (("batch size", batch_size), ("world size", world_size)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise UsageError(f"cannot check for the {name} `{value}`: expected a whole number of at least 1")
    return Facts(reader, path, purpose=purpose, batch_size=batch_size, world_size=world_size, options=options or {})


def _unseen(graph: LayerGraph, checks: Iterable[Check], facts: Facts) -> list[Abstention]:
    """Checks of calls see too little where not all calls are known: each of them says so."""
    if graph.open is None:
        return []
    blind = {check.rule.code for check in checks if check.subject == "call" and facts.reader in check.rule.readers}
    return [Abstention(code, facts.path, graph.open.reason) for code in sorted(blind)]
