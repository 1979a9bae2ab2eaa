"""Move the U-Net from batch norm to group norm, and train both on two images at a time.

    python examples/segmentation/move.py
"""

import torch
from train import overlap, scenes, train
from unet import UNet

import normfix


def findings(network, images):
    """What is wrong with training this network on these images, two of them at a time."""
    report = normfix.check(network, images, purpose="training", batch_size=2)
    return [f"{finding.code} {finding.message}" for finding in report.findings]


def main():
    torch.manual_seed(0)
    before = UNet()
    images, _ = scenes(2)[:]
    rewrite = normfix.swap(before, "group", images, groups=2)
    for name, network in (("batch norm", before), ("group norm", rewrite.model)):
        print(f"{name}:")
        print("\n".join(f"  {line}" for line in findings(network, images)) or "  no findings")
        train(network)
        print(f"  intersection over union: {overlap(network):.2f}")


if __name__ == "__main__":
    main()
