"""Random networks for hypothesis: branches, joins, reshapes, shared modules and random modes."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from transform_networks import randomise

CHANNELS = 4


class Network(nn.Module):
    """Carries out steps on a list of tensors; each step reads earlier ones and adds its result."""

    def __init__(self, layers: list[nn.Module], steps: list[tuple[str, int, int, int]], outputs: list[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.parts = nn.ModuleList(nn.BatchNorm2d(CHANNELS // 2) for _ in steps)
        self.register_buffer("order", torch.tensor([2, 0, 3, 1]))
        self.register_buffer("numbers", torch.tensor([[[0.5]], [[-1.0]], [[2.0]], [[0.1]]]))
        self.steps = steps
        self.outputs = outputs

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        values = [x]
        for (kind, layer, first, second), part in zip(self.steps, self.parts, strict=True):
            a, b = values[first % len(values)], values[second % len(values)]
            values.append(self._part(kind, part, a) if kind in PARTS else self._step(kind, layer, a, b))
        return tuple(values[index % len(values)] for index in (*self.outputs, -1))

    def _part(self, kind: str, part: nn.Module, a: Tensor) -> Tensor:
        """A norm for two of the channels."""
        if kind == "chunk":
            first, second = a.chunk(2, 1)
            return torch.cat([part(first), second], 1)
        if kind == "split":
            first, second = a.split([2, 2], 1)
            return torch.cat([second, part(first)], 1)
        return torch.cat([part(a[:, ::2]), a[:, 1::2]], 1)

    def _step(self, kind: str, layer: int, a: Tensor, b: Tensor) -> Tensor:
        if kind == "layer":
            return self.layers[layer % len(self.layers)](a)
        if kind == "relu":
            return a.relu()
        if kind == "add":
            return a + b
        if kind == "sub":
            return torch.sub(a, b, alpha=2)
        if kind == "cat":
            return torch.cat([a, b], 1)[:, ::2]
        if kind == "halves":
            return torch.cat([a[:, :2], b[:, 2:]], 1)
        if kind == "shuffle":
            return a.unflatten(1, (2, 2)).transpose(1, 2).flatten(1, 2)
        if kind == "turn":
            return a.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
        if kind == "swap":
            return a.transpose(1, 3)
        if kind == "flip":
            return a.flip(1, 3)
        if kind == "roll":
            return a.roll((1, 2), (1, 2))
        if kind == "groups":
            return nn.functional.channel_shuffle(a, 2)
        if kind == "number":
            return (a + 0.5) * 2
        return self._regrouped(kind, a, b)

    def _regrouped(self, kind: str, a: Tensor, b: Tensor) -> Tensor:
        if kind == "index":
            return a[:, self.order]
        if kind == "twice":
            return a[:, [0, 0, 3, 1]]
        if kind == "stack":
            return torch.stack([a, b], 2).flatten(1, 2)[:, ::2]
        if kind == "pixels":
            return nn.functional.pixel_unshuffle(nn.functional.pixel_shuffle(a, 2), 2)
        if kind == "space":
            return nn.functional.pixel_shuffle(nn.functional.pixel_unshuffle(a, 2), 2)
        if kind == "repeat":
            return a.repeat(1, 2, 1, 1)[:, 2:6]
        if kind == "expand":
            return a.mean((2, 3), keepdim=True).expand_as(a)
        if kind == "context":
            return a - b.mean((2, 3), keepdim=True)
        if kind == "rsub":
            return 1 - a
        if kind == "constants":
            return a * self.numbers - self.numbers[self.order]
        if kind == "larger":
            return nn.functional.interpolate(a, scale_factor=2, mode="bilinear").narrow(2, 1, 4)[..., :4]
        return a.flatten(2).reshape(a.shape)


PARTS = ["chunk", "split", "slices"]
KINDS = [
    *["layer"] * 16, "relu", "add", "sub", "cat", "halves", "shuffle", "turn", "swap", "number", "reshape",
    *PARTS, "flip", "roll", "groups",
    "index", "twice", "stack", "pixels", "space", "repeat", "expand", "context", "rsub", "constants", "larger",
]  # fmt: skip


@st.composite
def layers(draw: st.DrawFn) -> nn.Module:
    """One layer from 4 channels of 4x4 to 4 channels of 4x4."""
    c = CHANNELS
    kind = draw(
        st.sampled_from(["conv", "norm", "norm", "conv", "transposed", "tracked", "pool", "max", "pass", "linear"])
    )
    bias = draw(st.booleans())
    if kind == "conv":
        mode = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
        kernel = draw(st.sampled_from([1, 3]))
        groups = draw(st.sampled_from([1, 2, 4]))
        return nn.Conv2d(c, c, kernel, padding=kernel // 2, groups=groups, bias=bias, padding_mode=mode)
    if kind == "transposed":
        return nn.ConvTranspose2d(c, c, 3, padding=1, groups=draw(st.sampled_from([1, 2, 4])), bias=bias)
    if kind == "norm":
        affine = draw(st.booleans())
        eps = draw(st.sampled_from([1e-5, 1e-3, 0.5]))
        cls = draw(st.sampled_from([nn.BatchNorm2d, nn.SyncBatchNorm]))
        return cls(c, affine=affine, eps=eps)
    if kind == "tracked":
        return nn.InstanceNorm2d(c, affine=bias, track_running_stats=True)
    if kind == "pool":
        return nn.AvgPool2d(3, 1, 1, count_include_pad=bias)
    if kind == "max":
        return nn.MaxPool2d(3, 1, 1)
    if kind == "linear":
        return nn.Linear(c, c, bias=bias)
    return nn.Dropout() if bias else nn.Identity()


@st.composite
def networks(draw: st.DrawFn) -> nn.Module:
    """A network in eval mode, but for a norm that may be left in train mode."""
    made = draw(st.lists(layers(), min_size=2, max_size=8))
    number = st.integers(-3, 40)
    near = st.integers(-3, -1)
    steps = draw(
        st.lists(
            st.tuples(st.sampled_from(KINDS), number, st.one_of(near, near, number), number), min_size=3, max_size=14
        )
    )
    outputs = draw(st.lists(number, max_size=1))
    torch.manual_seed(draw(st.integers(0, 9)))
    model = randomise(Network(made, steps, outputs), seed=draw(st.integers(0, 9))).double()
    for layer in model.layers:
        for parameter in layer.parameters():
            nn.init.normal_(parameter, std=0.5) if parameter.dim() > 1 else None
    norms = [layer for layer in model.layers if isinstance(layer, nn.BatchNorm2d)]
    if norms and draw(st.integers(0, 9)) == 0:
        norms[0].train()
    return model
