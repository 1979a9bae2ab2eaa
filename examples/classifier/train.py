"""Train the classifier on synthetic images; three of its lines are wrong on purpose, and normfix names them.

    python examples/classifier/train.py
"""

import torch
from model import Classifier
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


def dataset(size):
    labels = torch.randint(10, (size,))
    images = torch.randn(size, 3, 32, 32) + labels.view(-1, 1, 1, 1) / 5
    return TensorDataset(images, labels)


def train(model, epochs=1):
    loader = DataLoader(dataset(32), batch_size=2, shuffle=True)  # NF501
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(epochs):
        model.train()
        for images, labels in loader:
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def accuracy(model):
    model.eval  # NF403
    loader = DataLoader(dataset(64), batch_size=32)
    with torch.no_grad():
        right = sum((model(images).argmax(1) == labels).sum().item() for images, labels in loader)
    return right / 64


def export(path):
    model = Classifier()
    model.load_state_dict(torch.load(path, weights_only=True))
    return torch.jit.trace(model, torch.randn(1, 3, 32, 32))  # NF401


if __name__ == "__main__":
    model = Classifier()
    train(model)
    print(f"accuracy {accuracy(model):.2f}")
