"""Train the U-Net on two images at a time, as one must where images are large.

    python examples/segmentation/train.py
"""

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from unet import UNet


def scenes(count, size=24, seed=0):
    """Discs on noise, each image with a brightness and a contrast of its own, and the masks of the discs."""
    chance = torch.Generator().manual_seed(seed)
    centre = size * (0.3 + 0.4 * torch.rand(count, 2, 1, 1, generator=chance))
    radius = size * (0.1 + 0.15 * torch.rand(count, 1, 1, generator=chance))
    axis = torch.arange(size).float()
    distance = torch.hypot(axis[:, None] - centre[:, 0], axis - centre[:, 1])
    masks = (distance < radius).float().unsqueeze(1)
    brightness = 4 * torch.randn(count, 1, 1, 1, generator=chance)
    contrast = 0.2 + 4 * torch.rand(count, 1, 1, 1, generator=chance)
    noise = 0.4 * torch.randn(count, 1, size, size, generator=chance)
    return TensorDataset(brightness + contrast * (masks + noise), masks)


def train(network, epochs=4):
    torch.manual_seed(0)
    loader = DataLoader(scenes(48), batch_size=2, shuffle=True)  # NF501
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    network.train()
    for _ in range(epochs):
        for images, masks in loader:
            loss = F.binary_cross_entropy_with_logits(network(images), masks)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@torch.no_grad()
def overlap(network):
    """Intersection over union on images that were not trained on."""
    images, masks = scenes(64, seed=1).tensors
    found = network.eval()(images) > 0
    return ((found & masks.bool()).sum() / (found | masks.bool()).sum()).item()


if __name__ == "__main__":
    network = UNet()
    train(network)
    print(f"intersection over union: {overlap(network):.2f}")
