"""A second opinion: the model in ONNX Runtime, exported and run with every optimisation off.

torch.onnx.export folds Conv and BatchNormalization by default, and ONNX Runtime does so again: with them on, two
folded graphs would be compared with each other.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from normfix.proof.inputs import Family
from normfix.proof.measure import Result, leaves


class NoExport(Exception):
    """The model cannot be run in ONNX Runtime; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def results(model: nn.Module | ExportedProgram, families: Sequence[Family]) -> list[Result | None]:
    """What ONNX Runtime makes of each family. Raises `NoExport`. `model` must be a copy that may be thrown away."""
    with quiet():
        program = export(model, families[0].args, families[0].kwargs)
        try:
            program.initialize_inference_session(session)
        except Exception as error:
            raise NoExport(f"ONNX Runtime cannot load the export: {_reason(error)}") from error
        try:
            return [_run(program, family) if family.deployable else None for family in families]
        finally:
            program.release()


def export(model: nn.Module | ExportedProgram, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The ONNX program of a model, not optimised. Raises `NoExport`."""
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            if not isinstance(model, ExportedProgram):
                model = torch.export.export(model, tuple(args), dict(kwargs), strict=False)
            return torch.onnx.export(model, dynamo=True, optimize=False, verbose=False)
    except Exception as error:
        raise NoExport(f"the model cannot be exported to ONNX: {_reason(error)}") from error


def _run(program: Any, family: Family) -> Result:
    try:
        return Result([leaf.detach().cpu() for leaf in leaves(program(*family.args, **family.kwargs))])
    except Exception as error:
        return Result([], _reason(error))


def session(model: str | bytes) -> Any:
    """An ONNX Runtime session with every graph optimisation off."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The exporter talks on stdout, in logs and in warnings, about things that nobody can act on here."""
    previous = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
