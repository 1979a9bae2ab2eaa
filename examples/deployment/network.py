"""A keyword spotter: depthwise separable convolutions over the features of a second of speech."""

from torch import nn


class Separable(nn.Module):
    """Depthwise, then pointwise, each with its batch norm; the input is added where the shapes allow it."""

    def __init__(self, inputs, width):
        super().__init__()
        self.depthwise = nn.Conv1d(inputs, inputs, 5, padding=2, groups=inputs, bias=False)
        self.norm1 = nn.BatchNorm1d(inputs)
        self.pointwise = nn.Conv1d(inputs, width, 1, bias=False)
        self.norm2 = nn.BatchNorm1d(width)
        self.relu = nn.ReLU()

    def forward(self, x):
        out = self.relu(self.norm1(self.depthwise(x)))
        out = self.relu(self.norm2(self.pointwise(out)))
        return out + x if out.shape == x.shape else out


class Spotter(nn.Module):
    """Features (N, 40, T) to the logits of the words (N, words)."""

    def __init__(self, words=10, width=32):
        super().__init__()
        self.scale = nn.BatchNorm1d(40)
        self.layers = nn.Sequential(Separable(40, width), Separable(width, width), Separable(width, width))
        self.head = nn.Sequential(
            nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, words)
        )

    def forward(self, x):
        return self.head(self.layers(self.scale(x)).mean(dim=2))
