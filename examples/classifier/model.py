"""A small residual classifier for 32x32 images, as people write it: the bias of every convolution is redundant."""

import torch
from torch import nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)  # NF301
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + x)


class Classifier(nn.Module):
    def __init__(self, classes=10, width=32):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),  # NF301
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.blocks = nn.Sequential(ResidualBlock(width), nn.MaxPool2d(2), ResidualBlock(width))
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        x = F.relu(self.norm(x)).mean(dim=(2, 3))
        return self.head(x)


def trained(batches=20):
    """The classifier in eval mode, its batch norms moved by a few batches of noise; the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Classifier()
        with torch.no_grad():
            for _ in range(batches):
                model(2 * torch.randn(16, 3, 32, 32) + 1)
    return model.eval()
