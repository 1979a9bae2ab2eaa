"""The models of a project: `[[tool.normfix.models]]`, each checked in a process of its own, within its limits.

[[tool.normfix.models]]
target = "package.module:name"      # or a file
input = ["8x3x224x224"]
purpose = "training"
batch-size = 8
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from normfix.errors import UsageError
from normfix.findings import Failure, Report

if TYPE_CHECKING:
    from normfix.graph import LayerGraph

_GIB = 1 << 30


@dataclass(frozen=True)
class Model:
    """One table: which model, what it is fed with, what it is for, and what the check may cost."""

    target: str
    input: Sequence[str] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    purpose: str | None = None
    batch_size: int | None = None
    world_size: int | None = None
    timeout: float = 600.0
    """Seconds."""
    memory: float = 16.0
    """GiB that the process may allocate."""


@dataclass(frozen=True)
class Selection:
    """Which rules run, and the settings of single rules."""

    select: Sequence[str] | None = None
    extend_select: Sequence[str] = ()
    ignore: Sequence[str] = ()
    options: Mapping[str, object] = field(default_factory=dict)


def model_of(table: Mapping[str, object]) -> Model:
    """A table of the configuration, checked. Raises UsageError for an unknown key or a value of the wrong type."""
    where = f"`[[tool.normfix.models]]` {table.get('target', 'without a target')!r}"
    keys = {one.name.replace("_", "-"): one.name for one in fields(Model)}
    for key, value in table.items():
        if key not in keys:
            close = get_close_matches(key, keys, n=1)
            raise UsageError(f"{where}: unknown key `{key}`{f'; did you mean `{close[0]}`?' if close else ''}")
        if not _fits(keys[key], value):
            raise UsageError(f"{where}: `{key}` cannot be {value!r}")
    if "target" not in table:
        raise UsageError(f"{where}: `target` is missing")
    return Model(**{keys[key]: value for key, value in table.items()})  # type: ignore[arg-type]  # each was checked


def _fits(name: str, value: object) -> bool:
    if name == "input":
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if name == "kwargs":
        return isinstance(value, dict)
    if name in ("target", "purpose"):
        return isinstance(value, str)
    number = int if name in ("batch_size", "world_size") else (int, float)
    return isinstance(value, number) and not isinstance(value, bool) and value > 0


def check_all(
    models: Iterable[Model], selection: Selection, tell: Callable[[str], None] = lambda target: None
) -> Report:
    """Check one model after the other. One that fails, hangs or takes too much memory is an error of the report, and
    the others are checked all the same. `tell` hears of each before it begins."""
    report = Report()
    for model in models:
        tell(model.target)
        report.extend(_apart(model, selection))
    return report


def _apart(model: Model, selection: Selection) -> Report:
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(theirs, model, selection), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(model.timeout):
            return _failed(model, f"no answer within {model.timeout:g} seconds")
        answer = ours.recv()
    except EOFError:
        process.join()
        return _failed(model, f"the process that checked it died (exit code {process.exitcode})")
    finally:
        process.kill()
        process.join()
    return answer if isinstance(answer, Report) else _failed(model, str(answer))


def _failed(model: Model, reason: str) -> Report:
    return Report(errors=[Failure(model.target, reason)])


def _serve(pipe: Connection, model: Model, selection: Selection) -> None:
    """Runs in the process of one model: its report, or the reason why there is none."""
    _limit(model.memory)
    try:
        pipe.send(check_one(model, selection))
    except (UsageError, MemoryError) as error:
        pipe.send(f"it needs more than {model.memory:g} GiB of memory" if _is_out_of_memory(error) else str(error))


def _is_out_of_memory(error: BaseException | None) -> bool:
    """Is a lack of memory the error, or its cause: torch has no exception of its own for it."""
    while error is not None:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            return True
        error = error.__cause__
    return False


def _limit(gib: float) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    # Address space is reserved generously by torch; data is what is really written to.
    resource.setrlimit(resource.RLIMIT_DATA, (int(gib * _GIB), int(gib * _GIB)))


def check_one(model: Model, selection: Selection) -> Report:
    """Load and check one model in this process. Raises UsageError."""
    return look(model, selection)[0]


def look(model: Model, selection: Selection) -> tuple[Report, Sequence[LayerGraph]]:
    """The report of one model, and the networks that were read for it: several in some files. Raises UsageError."""
    from normfix.checking.run import check_captured, check_graphs, file_graphs, plan
    from normfix.readers.target import load, parse_inputs, reader_of
    from normfix.selection import selected

    reader = reader_of(model.target)
    facts = plan(reader, model.target, model.purpose, model.batch_size, model.world_size, selection.options)
    checks = selected(selection.select, selection.extend_select, selection.ignore)
    inputs = parse_inputs(model.input)
    if reader != "model":
        graphs = file_graphs(model.target, [one.shape for one in inputs])
        return check_graphs(graphs, facts, checks), graphs
    from normfix.readers.model import capture

    # What the code of the model prints must not get into the report.
    with redirect_stdout(sys.stderr):
        captured = capture(load(model.target, model.kwargs), inputs or None)
    return check_captured(captured, facts, checks), [captured.graph]
