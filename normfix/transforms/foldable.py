"""Which norms of a model `fold` would take away, and why the others stay; nothing is rewritten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from normfix.errors import UsageError
from normfix.transforms import folding
from normfix.transforms.flow import Flow, Trace
from normfix.transforms.rewriting import capture, clone, state_of


def foldable(
    model: nn.Module, inputs: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None
) -> tuple[dict[str, str], str]:
    """For each norm, by module path, what would become of it in eval mode; and why nothing is known, or "".

    Norms whose statistics are never stored (layer norm, group norm) are not there: nobody can fold them.
    """
    doing = "planning to fold"
    try:
        copied = clone(model, doing).eval()
        program = capture(copied, inputs, kwargs, doing)
        plan = folding.plan(Flow(copied, Trace.of(program)), state_of(copied))
    except UsageError as error:
        return {}, str(error)
    return {
        **{change.where: change.what.removeprefix("folded ") for change in plan.applied},
        **{refusal.where: f"no: {refusal.reason}" for refusal in plan.refused},
    }, ""
