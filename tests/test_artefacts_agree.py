"""The same misuse, found in the live model, in its ONNX export, in its saved program and in its checkpoint."""

from collections.abc import Callable

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import normfix
from normfix.checking.run import check_file

IMAGE = (4, 3, 8, 8)


def trained(model: nn.Module) -> nn.Module:
    """Statistics and weights that look like those of training."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for module in model.modules():
            if getattr(module, "running_mean", None) is not None:
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
            if "Norm" in type(module).__name__ and getattr(module, "weight", None) is not None:
                nn.init.uniform_(module.weight, 0.5, 2)
                nn.init.normal_(module.bias)
    return model.eval()


def spoiled(name: str, value: float) -> nn.Module:
    model = trained(nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)))
    model.get_buffer(f"1.{name}")[2] = value
    return model


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.second(self.norm(self.first(x)).relu()))


def block(norm: nn.Module, bias: bool = False) -> nn.Module:
    return trained(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=bias), norm, nn.ReLU()))


def pooled() -> nn.Module:
    return trained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Unflatten(1, (4, 1)),
                                 nn.LayerNorm(1)))  # fmt: skip


MISUSES: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
    "NF102": (lambda: block(nn.BatchNorm2d(4, momentum=0.99)), ("model", "onnx")),
    "NF104": (lambda: block(nn.GroupNorm(2, 4, eps=0.0)), ("model",)),
    "NF203": (pooled, ("model", "onnx")),
    "NF206": (lambda: block(nn.LayerNorm([4, 8, 8])), ("model", "onnx")),
    "NF301": (lambda: block(nn.BatchNorm2d(4), bias=True), ("model", "onnx")),
    "NF302": (lambda: trained(nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3))), ("model", "onnx")),
    "NF306": (lambda: block(nn.BatchNorm2d(4)), ("model", "onnx", "pt2")),
    "NF505": (lambda: trained(Shared()), ("model", "onnx")),
    "NF701": (lambda: spoiled("running_mean", float("nan")), ("model", "onnx", "pt2", "state")),
    "NF702": (lambda: spoiled("running_var", -3.0), ("model", "onnx", "pt2", "state")),
    "NF703": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval(), ("model", "onnx", "state")),
    "NF704": (lambda: block(nn.BatchNorm2d(4)).bfloat16(), ("model", "state")),
}
"""What makes the model of each rule, and the readers that must find it."""
CASES = [(code, reader) for code, (_, readers) in MISUSES.items() for reader in readers]


def findings(model: nn.Module, reader: str, folder: str, *codes: str) -> list[normfix.Finding]:
    x = torch.randn(IMAGE, dtype=next(model.parameters()).dtype)
    if reader == "model":
        return normfix.check(model, x, purpose="inference", select=codes).findings
    path = f"{folder}/saved" + {"onnx": ".onnx", "pt2": ".pt2", "state": ".safetensors"}[reader]
    if reader == "onnx":
        torch.onnx.export(model, (x,), path, dynamo=True, optimize=False, verbose=False)
    elif reader == "pt2":
        torch.export.save(torch.export.export(model, (x,)), path)
    else:
        save_file(model.state_dict(), path)
    return check_file(path, purpose="inference", select=codes).findings


@pytest.mark.parametrize(("code", "reader"), CASES, ids=[f"{code}-{reader}" for code, reader in CASES])
def test_the_misuse_is_found(code: str, reader: str, tmp_path) -> None:
    found = findings(MISUSES[code][0](), reader, str(tmp_path), code)
    assert {finding.code for finding in found} == {code}


@pytest.mark.parametrize("reader", ["model", "onnx", "pt2", "state"])
def test_a_sound_model_is_silent(reader: str, tmp_path) -> None:
    model = trained(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3)))
    assert findings(model, reader, str(tmp_path), *MISUSES) == []


def test_a_program_captured_in_train_mode_is_told(tmp_path) -> None:
    model = block(nn.BatchNorm2d(4)).train()
    path = f"{tmp_path}/training.pt2"
    torch.export.save(torch.export.export(model, (torch.randn(IMAGE),)), path)
    assert [finding.code for finding in check_file(path, select=["NF405"]).findings] == ["NF405"]
