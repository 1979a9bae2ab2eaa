"""What stands where a merged branch was."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, fx, nn

from normfix.transforms.base import ReplaceModule
from normfix.transforms.flow import Flow
from normfix.transforms.guards import writes_in_place
from normfix.transforms.nodes import operation, shape
from normfix.transforms.summing import ADDS, scaling
from normfix.transforms.windows import Window


class Merged(nn.Module):
    """Gives zero: what this branch added is a part of another branch's convolution.

    The zero is a single number, or, where something is added to it in place, a tensor of the size that a convolution
    to `channels` with these windows would give."""

    def __init__(self, was: str, channels: int = 0, windows: Sequence[Window] = ()) -> None:
        super().__init__()
        self.was = was
        self.channels = channels
        self.single = not windows
        # TorchScript takes no empty list, and no loop over pairs.
        self.windows = [list(window) for window in windows or [(1, 1, 0, 1)]]

    def forward(self, input: Tensor) -> Tensor:
        if self.single:
            return input.new_zeros(())
        sizes = list(input.shape)
        first = len(sizes) - len(self.windows)
        sizes[first - 1] = self.channels
        for axis in range(len(self.windows)):
            kernel, stride, padding, dilation = self.windows[axis]
            sizes[first + axis] = (sizes[first + axis] + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        return input.new_zeros(sizes)

    def extra_repr(self) -> str:
        return f"was {self.was}"


def merged(flow: Flow, node: fx.Node, windows: Sequence[Window], path: str, whole: bool) -> ReplaceModule:
    """The edit that puts zero in the place of the module that made this node, over these windows; `whole` asks for
    zeros of full size."""
    channels = shape(node)[-len(windows) - 1]
    kept = windows if whole or _looked_at(flow, node) else ()
    return ReplaceModule(path, lambda old: Merged(repr(old).splitlines()[0], channels, kept).train(old.training))


def _looked_at(flow: Flow, node: fx.Node) -> bool:
    """Is anything added to this in place, or its size taken, on its way through sums."""
    readers = flow.readers(node)
    if len(readers) != len(node.users):
        return True
    if len(readers) != 1 or (operation(readers[0]) not in ADDS and scaling(flow, readers[0]) is None):
        return False
    in_place = writes_in_place(readers[0]) and readers[0].args[0] is node
    return in_place or _looked_at(flow, readers[0])
