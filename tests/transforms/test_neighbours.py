"""Old checkpoints for models whose redundant biases were removed in source."""

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from normfix.cli import main
from normfix.errors import UsageError
from normfix.transforms.migrate import migrate

SOURCE = """import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.bn = nn.BatchNorm2d(6, momentum=None)
        self.mix = nn.Conv2d(6, 6, 1)
        self.norm = nn.GroupNorm(6, 6)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        x = self.bn(self.up(self.stem(x)))
        return self.head(self.norm(self.mix(x)).mean((2, 3)))
"""


def trained(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + (0.5 if name.endswith("var") else -0.5))
    return model


def pair(build: Callable[[bool], nn.Module]) -> tuple[nn.Module, nn.Module]:
    """The trained model with biases, and the new one without, both in eval mode and float64."""
    torch.manual_seed(0)
    return trained(build(True).double()).eval(), build(False).double().eval()


def conv_bn(bias: bool) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=bias), nn.BatchNorm2d(4))


def worst(old: nn.Module, new: nn.Module, inputs: Tensor) -> float:
    with torch.no_grad():
        expected = old(inputs)
        return float((new(inputs) - expected).abs().max() / expected.abs().max())


REFUSED: dict[str, tuple[Callable[[bool], nn.Module], str]] = {
    "an activation lies between": (
        lambda bias: nn.Sequential(nn.Conv2d(3, 4, 3, bias=bias), nn.ReLU(), nn.BatchNorm2d(4)),
        "subtracts no constant",
    ),
    "the norm is a layer norm": (
        lambda bias: nn.Sequential(nn.Conv2d(3, 4, 3, bias=bias), nn.GroupNorm(2, 4)),
        "subtracts no constant",
    ),
    "there is no norm": (lambda bias: nn.Sequential(nn.Conv2d(3, 4, 3, bias=bias)), "other readers"),
    "linear: the axis depends on the rank": (
        lambda bias: nn.Sequential(nn.Linear(3, 4, bias=bias), nn.BatchNorm1d(4)),
        "give example inputs",
    ),
}


@pytest.mark.parametrize("build, reason", REFUSED.values(), ids=REFUSED)
def test_a_bias_that_no_norm_subtracts_is_refused(build: Callable[[bool], nn.Module], reason: str) -> None:
    old, new = pair(build)
    with pytest.raises(UsageError, match=reason):
        migrate(old.state_dict(), new)


def test_a_bias_that_no_norm_subtracts_is_refused_with_inputs_too() -> None:
    old, new = pair(REFUSED["an activation lies between"][0])
    with pytest.raises(UsageError, match="cannot go"):
        migrate(old.state_dict(), new, torch.randn(2, 3, 5, 5, dtype=torch.float64))


@pytest.mark.parametrize("change", ["extra", "missing", "shape"])
def test_a_checkpoint_of_another_model_is_refused(change: str) -> None:
    old, new = pair(conv_bn)
    state = dict(old.state_dict())
    if change == "extra":
        state["2.weight"] = torch.zeros(3)
    elif change == "missing":
        del state["1.running_var"]
    else:
        state["0.weight"] = torch.zeros(4, 3, 1, 1)
    with pytest.raises(UsageError, match="does not fit"):
        migrate(state, new)


def test_a_checkpoint_that_fits_is_left_as_it_is() -> None:
    _, new = pair(conv_bn)
    done = migrate(new.state_dict(), new)
    assert not done.applied and list(done.state) == list(new.state_dict())


def test_neither_the_checkpoint_nor_the_model_changes() -> None:
    old, new = pair(conv_bn)
    state = copy.deepcopy(old.state_dict())
    before = copy.deepcopy(new.state_dict())
    migrate(state, new)
    migrate(state, new, torch.randn(2, 3, 5, 5, dtype=torch.float64))
    assert all(torch.equal(tensor, state[name]) for name, tensor in old.state_dict().items())
    assert all(torch.equal(tensor, before[name]) for name, tensor in new.state_dict().items())


class Shared(nn.Module):
    """One conv under two names, in front of two norms."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=bias)
        self.again = self.conv
        self.first, self.second = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(self.conv(x)) + self.second(self.again(2 * x))


MIGRATED: dict[str, Callable[[bool], nn.Module]] = {
    "conv": conv_bn,
    "transposed": lambda bias: nn.Sequential(nn.ConvTranspose2d(3, 4, 2, bias=bias), nn.BatchNorm2d(4)),
    "grouped": lambda bias: nn.Sequential(nn.Conv2d(3, 6, 3, groups=3, bias=bias), nn.BatchNorm2d(6)),
    "instance norm with statistics": lambda bias: nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=bias), nn.InstanceNorm2d(4, track_running_stats=True)
    ),
    "group norm of single channels": lambda bias: nn.Sequential(nn.Conv2d(3, 4, 3, bias=bias), nn.GroupNorm(4, 4)),
    "shared": Shared,
}


@pytest.mark.parametrize("inputs", [False, True], ids=["without inputs", "with inputs"])
@pytest.mark.parametrize("build", MIGRATED.values(), ids=MIGRATED)
def test_the_migrated_model_computes_the_same(build: Callable[[bool], nn.Module], inputs: bool) -> None:
    old, new = pair(build)
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    done = migrate(old.state_dict(), new, x if inputs else None)
    new.load_state_dict(done.state, strict=True)
    assert done.applied
    assert worst(old, new, x) < 1e-12


def test_other_redundant_biases_stay_where_the_source_keeps_them() -> None:
    def build(bias: bool) -> nn.Module:
        return nn.Sequential(*conv_bn(bias), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))

    old, new = pair(build)
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    new.load_state_dict(migrate(old.state_dict(), new, x).state, strict=True)
    assert worst(old, new, x) < 1e-12


def test_inputs_show_what_the_source_alone_does_not() -> None:
    old, new = pair(REFUSED["linear: the axis depends on the rank"][0])
    x = torch.randn(5, 3, dtype=torch.float64)
    new.load_state_dict(migrate(old.state_dict(), new, x).state, strict=True)
    assert worst(old, new, x) < 1e-12


TRAIN = """import sys
import torch
from net import Net

torch.manual_seed(0)
model = Net().double()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for _ in range(4):
    optimizer.zero_grad()
    model(torch.randn(4, 3, 8, 8).double() + 1).square().mean().backward()
    optimizer.step()
torch.save({"state_dict": model.state_dict()}, "old.pt")
inputs = torch.randn(4, 3, 8, 8).double()
torch.save([inputs, model.eval()(inputs).detach()], "expected.pt")
"""
LOAD = """import sys
import torch
from net import Net

model = Net().double()
model.load_state_dict(torch.load(sys.argv[1]), strict=True)
inputs, expected = torch.load("expected.pt")
difference = (model.eval()(inputs) - expected).abs().max() / expected.abs().max()
print(float(difference), model.up.bias, model.mix.bias)
"""


@pytest.mark.parametrize("inputs", [[], ["--input", "2x3x8x8"]], ids=["without inputs", "with inputs"])
def test_from_old_checkpoint_to_fixed_source(
    tmp_path: Path, inputs: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Train a little, save, fix the source, migrate, load strictly: the same output in eval mode, in float64."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(SOURCE)
    subprocess.run([sys.executable, "-c", TRAIN], check=True)
    assert main(["lint", "--fix", "--unsafe-fixes", "--select", "NF301", "net.py"]) == 0
    assert "`normfix migrate CHECKPOINT --like net.py:MODEL -o NEW`" in capsys.readouterr().err
    assert Path("net.py").read_text().count("bias=False") == 3
    assert main(["migrate", "old.pt", "--like", "net.py:Net", "-o", "new.pt", *inputs]) == 0
    assert "wrote new.pt" in capsys.readouterr().out
    done = subprocess.run([sys.executable, "-c", LOAD, "new.pt"], capture_output=True, text=True, check=True)
    difference, *biases = done.stdout.split()
    assert float(difference) < 1e-12 and biases == ["None", "None"]


def test_a_dry_run_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text("from torch import nn\n\ndef build():\n    return nn.Sequential(nn.Linear(2, 2))\n")
    torch.save(nn.Sequential(nn.Linear(2, 2)).state_dict(), "a.pt")
    assert main(["migrate", "a.pt", "--like", "net.py:build", "--dry-run"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["a.pt", "net.py"]


def test_a_suffix_that_cannot_be_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["migrate", "a.pt", "--like", "net.py:Net", "-o", "b.onnx"]) == 2
    assert "a checkpoint is .pt or .safetensors" in capsys.readouterr().err
