"""Deploy a trained keyword spotter: check it, fold it, prove it, and run it in ONNX Runtime.

    python examples/deployment/deploy.py [FOLDER]

FOLDER (`deployed`, if none is given) then holds the weights, the ONNX file, the certificate of the proof and a report for the browser.
"""

import json
import shlex
import sys
from pathlib import Path

import onnxruntime
import torch
from network import Spotter
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from normfix.cli import main as normfix


def speech(count, words=10, seed=0):
    """Synthetic features: every word has a spectrum of its own, behind noise."""
    spectra = torch.randn(words, 40, 1, generator=torch.Generator().manual_seed(99))
    chance = torch.Generator().manual_seed(seed)
    labels = torch.randint(words, (count,), generator=chance)
    return 5 + 2 * spectra[labels] + 3 * torch.randn(count, 40, 50, generator=chance), labels


def train(path, steps=30):
    """Train for a moment, and write the weights."""
    torch.manual_seed(0)
    model = Spotter()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(steps):
        features, labels = speech(32, seed=step)
        loss = F.cross_entropy(model(features), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save_file(model.state_dict(), path)


def restored(weights):
    """The model as it is deployed; `normfix` calls this, too."""
    model = Spotter()
    model.load_state_dict(load_file(weights))
    return model.eval()


def run(*words):
    """One normfix command. The deployment ends here if it finds something, or cannot prove what it did."""
    print(f"\n$ {shlex.join(['normfix', *words])}")
    if code := normfix(words):
        sys.exit(code)


def accuracy(path):
    """How many words of new speech ONNX Runtime recognises."""
    session = onnxruntime.InferenceSession(path)
    features, labels = speech(8, seed=1000)
    [logits] = session.run(None, {session.get_inputs()[0].name: features.numpy()})
    return (torch.from_numpy(logits).argmax(1) == labels).float().mean().item()


def main(folder):
    weights, deployed = f"{folder}/spotter.safetensors", f"{folder}/spotter.onnx"
    train(weights)
    model = (f"{__file__}:restored", "--kwargs", json.dumps({"weights": weights}), "--input", "8x40x50")
    run("check", weights)
    run("check", *model, "--purpose", "inference")
    run("fold", *model, "-o", deployed, "--certificate", f"{folder}/proof.json", "--html", f"{folder}/fold.html")
    run("verify", model[0], deployed, *model[1:])
    run("check", deployed)
    print(f"\naccuracy in ONNX Runtime: {accuracy(deployed):.2f}")


if __name__ == "__main__":
    folder = Path(sys.argv[1] if sys.argv[1:] else "deployed")
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
