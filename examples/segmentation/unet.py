"""A small U-Net with a global context branch, normalized by batch norm as most code has it."""

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(x)))


class Context(nn.Module):
    """Adds a summary of the whole image to every position."""

    def __init__(self, width):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv = nn.Conv2d(width, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)  # NF203

    def forward(self, x):
        return x + F.relu(self.norm(self.conv(self.pool(x))))


class UNet(nn.Module):
    """Images (N, 1, H, W) to the logits of a mask (N, 1, H, W); H and W are multiples of 4."""

    def __init__(self, width=8):
        super().__init__()
        self.down1 = Block(1, width)
        self.down2 = Block(width, 2 * width)
        self.bottom = Block(2 * width, 2 * width)
        self.context = Context(2 * width)
        self.up2 = Block(4 * width, width)
        self.up1 = Block(2 * width, width)
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, x):
        fine = self.down1(x)
        coarse = self.down2(F.max_pool2d(fine, 2))
        x = self.context(self.bottom(F.max_pool2d(coarse, 2)))
        x = self.up2(torch.cat([F.interpolate(x, scale_factor=2.0), coarse], dim=1))
        x = self.up1(torch.cat([F.interpolate(x, scale_factor=2.0), fine], dim=1))
        return self.head(x)
