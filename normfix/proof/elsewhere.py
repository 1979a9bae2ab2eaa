"""Is a rewrite right for images of another size, too: forward may compute with the size of its input."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from normfix.proof.evidence import EXCUSED
from normfix.proof.inputs import Inputs, same_sides
from normfix.proof.measure import Result, distance, run_float64


class Elsewhere:
    """What the old model and then the new one make of smaller images, in float64. It is no part of the verdict."""

    def __init__(self, image: Inputs, cut: Inputs | None) -> None:
        self._image = image
        self._tried = cut is not None and same_sides(image, cut)
        """Are the images of the made families as small."""
        self._results: list[Result] = []

    def see(self, model: nn.Module, found: Sequence[Result]) -> int:
        """Observe one of the models; `found` are its results of all families. Returns the number of forward passes."""
        self._results.append(found[1] if self._tried else run_float64(model, *self._image))
        return int(not self._tried)

    def notes(self) -> list[str]:
        """A note about a rewrite that is wrong for smaller images; empty where it is right, or the model takes none."""
        if len(self._results) < 2 or self._results[0].failure:
            return []
        error = distance(self._results[0].outputs, self._results[1].outputs)
        if error <= EXCUSED:
            return []
        return [
            f"not at a smaller size: the rewrite is wrong there, by {error:.1e} in float64, since forward computes "
            "with the size of its input; use the new model for images of the given size only"
        ]
