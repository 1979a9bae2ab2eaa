"""Stored tensors of a norm, as checks look at them."""

from collections.abc import Sequence

from normfix import norms
from normfix.graph import Layer

WITH_BUFFERS = norms.TRACKING | norms.FROZEN


def values(layer: Layer, name: str) -> Sequence[float]:
    """The elements of a parameter or buffer; empty where the layer has none. Raises `Undecided` on a meta device."""
    tensor = layer.state.get(name)
    return tensor.values() if tensor is not None else ()


def holds_statistics(layer: Layer) -> bool:
    return "running_mean" in layer.state and "running_var" in layer.state


def is_trained(layer: Layer) -> bool:
    """Do the shifts differ by channel, as only training makes them: scales may be drawn at random, or zero, at first.

    A norm without shifts is judged by its scales.
    """
    return len(set(values(layer, "bias" if "bias" in layer.state else "weight"))) > 1
