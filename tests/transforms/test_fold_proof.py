"""What the proof of a fold costs, and what it does where a smaller image is another matter."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import normfix
from normfix.rewrites import ProofFailed

LARGE = torch.randn(1, 3, 80, 80, generator=torch.Generator().manual_seed(0))


class Sized(nn.Module):
    """Pads with zeros after the norm where the image is small: there, and there only, no fold goes forward."""

    def __init__(self):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)
        self.norm.running_mean.fill_(0.5)

    def forward(self, x):
        x = self.norm(x)
        if x.shape[-1] < 70:
            x = nn.functional.pad(x, (1, 1, 1, 1))
        return self.conv(x)


def test_a_fold_that_holds_for_the_given_size_only_says_so():
    done = normfix.fold(Sized().eval(), LARGE, prove="formula")
    assert [change.where for change in done.applied] == ["norm"] and done.proof.holds
    assert any(note.startswith("not at a smaller size: the rewrite is wrong") for note in done.notes)


class Divided(nn.Module):
    """Divides by the width of its input between convolution and norm, or passes the norm by where it is small."""

    def __init__(self, skips=False):
        super().__init__()
        self.conv, self.norm, self.skips = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), skips
        self.norm.running_mean.fill_(0.5)

    def forward(self, x):
        made = self.conv(x)
        if self.skips:
            return self.norm(made) if x.shape[-1] > 12 else made
        return self.norm(made / x.shape[-1])


@pytest.mark.parametrize("prove", ["full", "formula"])
def test_a_fold_of_a_forward_that_computes_with_its_size_says_so(prove):
    done = normfix.fold(Divided().eval(), torch.randn(2, 3, 16, 16), prove=prove)
    assert [change.where for change in done.applied] == ["norm"]
    assert any("computes with the size of its input" in note for note in done.notes)


def test_a_norm_that_small_images_pass_by_stays():
    done = normfix.fold(Divided(skips=True).eval(), torch.randn(2, 3, 16, 16), prove="formula")
    assert done.applied == []
    assert "0 times for a smaller image" in done.refused[0].reason


def test_a_fold_that_holds_for_all_sizes_has_no_note():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1)).eval()
    done = normfix.fold(model, torch.randn(2, 3, 16, 16), prove="formula")
    assert len(done.applied) == 1 and done.notes == []


def test_a_wrong_rewrite_of_a_large_image_is_refused(monkeypatch):
    from normfix.transforms import algebra

    right = algebra.scale_shift
    monkeypatch.setattr(algebra, "scale_shift", lambda *given: (right(*given)[0] * 1.001, right(*given)[1]))
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    with pytest.raises(ProofFailed, match="the rewrite is wrong: on given inputs"):
        normfix.fold(model, LARGE, prove="formula")


@pytest.mark.parametrize(("level", "most"), [("none", 0), ("formula", 15), ("full", 35)])
def test_the_number_of_forward_passes_is_bounded(level, most):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    proof = normfix.fold(model, LARGE, prove=level).proof
    assert proof.forwards <= most and (proof.forwards > 0) == (level != "none")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_folds_of_half_models_are_redone_in_float64(dtype):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    nn.init.uniform_(model[1].running_var, 0.5, 2.0)
    done = normfix.fold(model.to(dtype), LARGE.to(dtype), prove="formula")
    assert done.proof.holds and done.proof.formula < 1e-12 and done.proof.rounding > 1e-5
    assert done.model[0].weight.dtype == dtype


class Tied(nn.Module):
    """Chooses between two sums of the same numbers in another order: rounding settles which is larger."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.norm.running_mean.copy_(torch.tensor([0.3, -0.2, 0.7, 0.1]))
        self.norm.running_var.copy_(torch.tensor([0.7, 1.3, 0.4, 2.1]))

    def forward(self, x):
        y = self.norm(self.conv(x))
        sums = torch.stack([y.sum(1), y.flip(1).cumsum(1)[:, -1]], 1)
        return sums.topk(1, 1).indices + x.mean()


def test_a_proof_that_fails_names_what_chooses_among_nearly_equal_numbers():
    torch.manual_seed(0)
    with pytest.raises(ProofFailed, match="chooses by `topk`, and rounding settles which of nearly equal numbers"):
        normfix.fold(Tied().eval(), LARGE[..., :16, :16], prove="formula")
