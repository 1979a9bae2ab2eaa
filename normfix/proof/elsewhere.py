"""Is a rewrite right for images of another size, too: forward may compute with the size of its input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from normfix.proof.evidence import EXCUSED
from normfix.proof.inputs import reduced
from normfix.proof.measure import distance, run_float64


def wrong_elsewhere(
    model: nn.Module, redo: Callable[[nn.Module], nn.Module], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[str]:
    """A note about a rewrite that is wrong for smaller images; empty where it is right, or the model takes none.

    `redo` carries it out on the model, which is used up."""
    image = reduced(args, kwargs)
    if image is None:
        return []
    wide = model.double()
    before = run_float64(wide, *image)
    if before.failure:
        return []
    error = distance(before.outputs, run_float64(redo(wide), *image).outputs)
    if error <= EXCUSED:
        return []
    return [
        f"not at a smaller size: the rewrite is wrong there, by {error:.1e} in float64, since forward computes with "
        "the size of its input; use the new model for images of the given size only"
    ]
