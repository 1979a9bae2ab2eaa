"""Gathers the evidence of a proof: the old model first, then the new one, one copy at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.utils._pytree import tree_map

from normfix.proof import runtime
from normfix.proof.artefacts import InRuntime
from normfix.proof.copying import copied as copy_of
from normfix.proof.elsewhere import Elsewhere
from normfix.proof.evidence import FORMULA, Evidence
from normfix.proof.inputs import Family, Inputs, families
from normfix.proof.judge import judge
from normfix.proof.measure import Result, run, run_float64
from normfix.proof.together import Runner, run_together
from normfix.rewrites import Proof

LEVELS = ("full", "formula", "none")


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of the old model before its proof."""

    known: Mapping[str, Result] = field(default_factory=dict)
    """What it makes of the given inputs, and of other families in the size of `cut`, by name."""
    cut: Inputs | None = None
    """The inputs in a smaller size, for all families but the given one."""
    forwards: int = 0
    """How many forward passes that took."""
    together: bool = False
    """Can the made families be run in few batches."""


class Proving:
    """One proof under way. `level` is "full" (float64 and ONNX Runtime), "formula" (float64 only) or "none".

    `resize` tries other batch sizes too, which an exported program or an ONNX file does not take. What was
    `seen` of the old model is not computed again. `elsewhere` sees both models besides.
    """

    def __init__(
        self,
        example_inputs: object,
        example_kwargs: Mapping[str, Any] | None,
        level: str = "full",
        *,
        resize: bool = True,
        seen: Seen | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        if level not in LEVELS:
            raise ValueError(f"`prove` is {level!r}: expected one of {', '.join(LEVELS)}")
        self.level = level
        self.deployed = 0.0
        """The seconds that ONNX Runtime took."""
        seen = seen or Seen()
        self.forwards = seen.forwards
        self._together = seen.together
        self._known = seen.known
        self._elsewhere = elsewhere
        tried = families(positional(example_inputs), example_kwargs or {}, seen.cut)
        self._families = [family for family in tried if family.deployable or resize]
        self._evidence = Evidence(self._families)
        self._dtype = torch.get_default_dtype()
        self._notes: list[str] = []

    def old(
        self,
        copied: nn.Module,
        program: ExportedProgram | None = None,
        redo: Callable[[nn.Module], nn.Module] | None = None,
    ) -> None:
        """Observe the old model. `copied` is used up; `program` spares its second export; `redo` carries the rewrite
        out on it, in place, in float64."""
        if self.level == "none":
            return
        self._dtype = coarsest(copied)
        evidence = self._evidence
        if self._dtype == torch.float64:
            evidence.returned = (self._known.get("given") or self._given(copy_of(copied))).form
            evidence.plain = self._run_narrowed(copied)
        else:
            evidence.plain = self._run(copied, self._known)
            evidence.returned = evidence.plain[0].form
        if isinstance(copied, InRuntime):
            evidence.returned = None
        if self.level == "full":
            evidence.exported = self._deploy(program or copied)
        evidence.exact = self._run_float64(copied.double())
        if redo is not None:
            evidence.redone = self._run_float64(redo(copied))

    def new(self, model: nn.Module, training: bool | None = None) -> None:
        """Observe the new model, in train or eval mode where one is asked for. It is used up where nothing was redone
        in float64; else only what forward itself changes is."""
        if self.level == "none":
            return
        if training is not None:
            model.train(training)
        evidence = self._evidence
        evidence.rewritten = self._run(model)
        if isinstance(model, InRuntime):
            evidence.returned = None
        if evidence.exported is not None:
            evidence.deployed = self._deploy(model)
        if evidence.redone is None:
            evidence.rounded = True
            evidence.redone = self._run_float64(model.double())

    def neither_runs(self) -> str:
        """Why neither model runs on the inputs that were given; empty where one does."""
        old, new = self._evidence.plain[0].failure, self._evidence.rewritten[0].failure
        return old if old and new else ""

    def judge(self) -> Proof:
        """The verdict on what was observed."""
        if self.level == "none":
            return Proof(False, None, None, None, level="none")
        bound = None if self._evidence.rounded else FORMULA
        return replace(judge(self._evidence, self._dtype, self._notes, self.level, bound), forwards=self.forwards)

    def _given(self, model: nn.Module) -> Result:
        self.forwards += 1
        return run(model, self._families[0].args, self._families[0].kwargs)

    def _run(self, model: nn.Module, known: Mapping[str, Result] | None = None) -> list[Result]:
        return self._all(lambda family: run(model, family.args, family.kwargs), known or {})

    def _run_narrowed(self, model: nn.Module) -> list[Result]:
        """A float64 model shows no rounding of its own; what float32 makes of it tells how it is conditioned."""
        self._dtype = torch.float32
        narrow = copy_of(model).float()
        return self._all(lambda family: run(narrow, *tree_map(_narrow, (family.args, dict(family.kwargs)))), {})

    def _run_float64(self, model: nn.Module) -> list[Result]:
        found = self._all(lambda family: run_float64(model, family.args, family.kwargs), {})
        self.forwards += self._elsewhere.see(model, found) if self._elsewhere is not None else 0
        return found

    def _all(self, runner: Runner, known: Mapping[str, Result]) -> list[Result]:
        """The result of every family. What is `known` is not computed again."""
        found = dict(known)

        def counted(family: Family) -> Result:
            self.forwards += 1
            return runner(family)

        given, *others = self._families
        if given.name not in found:
            found[given.name] = counted(given)
        missing = [family for family in others if family.name not in found]
        if self._together and missing:
            parts = run_together(missing, counted)
            self._together = parts is not None
            found.update(parts or {})
        for family in missing:
            if family.name not in found:
                found[family.name] = counted(family)
        return [found[family.name] for family in self._families]

    def _deploy(self, model: nn.Module | ExportedProgram) -> Sequence[Result | None] | None:
        if isinstance(model, InRuntime):
            return self._run(model)
        start = time.perf_counter()
        try:
            return runtime.results(model, self._families)
        except runtime.NoExport as missing:
            self._notes.append(f"not proven in ONNX Runtime: {missing.reason}")
            return None
        finally:
            self.deployed += time.perf_counter() - start


def _narrow(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.dtype == torch.float64 else value


def positional(example_inputs: object) -> tuple[Any, ...]:
    """The positional inputs: a tuple (or list) holds one for each of its items, anything else is a single one."""
    if example_inputs is None:
        return ()
    return tuple(example_inputs) if isinstance(example_inputs, (tuple, list)) else (example_inputs,)


def coarsest(model: nn.Module) -> torch.dtype:
    """The floating dtype of a model with the fewest digits."""
    found = {tensor.dtype for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()}
    return max(found, key=lambda dtype: torch.finfo(dtype).eps, default=torch.get_default_dtype())
